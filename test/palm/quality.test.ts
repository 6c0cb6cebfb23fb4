import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  assessQuality,
  type GreyImage,
  GUIDED_HAND,
  QUALITY_FLOOR,
  renderSample,
  synthesiseIdentity,
} from "../../palm/index.js";
import { drawn, palm } from "./support.js";

const SIDE = 128;
const PALM = palm(7);

/** The palm under another light: grey * gain + lift. */
const lit = (gain: number, lift: number, image = PALM) =>
  drawn(image.width, image.height, (x, y) =>
    Math.max(0, Math.min(255, Math.round((image.pixels[y * image.width + x] ?? 0) * gain + lift))),
  );

/** Mean over a square of 2 * radius + 1 pixels. */
function blurred(image: GreyImage, radius: number): GreyImage {
  const { width, height, pixels } = image;
  return drawn(width, height, (x, y) => {
    let sum = 0;
    let count = 0;
    for (let row = Math.max(0, y - radius); row <= Math.min(height - 1, y + radius); row++) {
      for (let column = Math.max(0, x - radius); column <= Math.min(width - 1, x + radius); column++) {
        sum += pixels[row * width + column] ?? 0;
        count += 1;
      }
    }
    return Math.round(sum / count);
  });
}

/** Moved by `lengthPx` while the shutter was open. */
function smeared(image: GreyImage, lengthPx: number, degrees: number): GreyImage {
  const { width, height, pixels } = image;
  const [stepX, stepY] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  const inside = (at: number, size: number) => Math.max(0, Math.min(size - 1, Math.round(at)));
  return drawn(width, height, (x, y) => {
    let sum = 0;
    for (let i = 0; i < lengthPx; i++) {
      const way = i - (lengthPx - 1) / 2;
      sum += pixels[inside(y + way * stepY, height) * width + inside(x + way * stepX, width)] ?? 0;
    }
    return Math.round(sum / lengthPx);
  });
}

/** As the palm's own sensor noise: 4 grey values or so, here of a fixed pattern. */
const noisy = (image: GreyImage) =>
  drawn(image.width, image.height, (x, y) => {
    const at = y * image.width + x;
    return (image.pixels[at] ?? 0) + (((Math.imul(at + 1, 2654435761) >>> 16) % 15) - 7);
  });

/** Every pixel becomes a square of `times` x `times` pixels of a smooth larger image. */
const enlarged = (image: GreyImage, times: number) =>
  blurred(
    drawn(
      image.width * times,
      image.height * times,
      (x, y) => image.pixels[Math.floor(y / times) * image.width + Math.floor(x / times)] ?? 0,
    ),
    1,
  );

describe("quality of a region of interest", () => {
  it("is OK for a palm in good light", () => {
    const { score, reason } = assessQuality(PALM);
    expect(reason).toBe("OK");
    expect(score).toBeGreaterThanOrEqual(80);
  });

  it.each([
    ["TOO_DARK", lit(0.12, 0)],
    ["TOO_DARK", drawn(SIDE, SIDE, () => 0)],
    ["TOO_BRIGHT", lit(0.3, 215)],
    ["TOO_BRIGHT", lit(3, 0)],
    ["TOO_BRIGHT", drawn(SIDE, SIDE, () => 255)],
    ["LOW_CONTRAST", lit(0.08, 120)],
    ["LOW_CONTRAST", drawn(SIDE, SIDE, () => 128)],
    ["BLURRED", blurred(PALM, 16)],
    ["BLURRED", noisy(blurred(PALM, 16))],
    ["BLURRED", drawn(SIDE, SIDE, (x) => 60 + x)],
  ])("names %s as the reason (case %#)", (reason, image) => {
    const quality = assessQuality(image);
    expect(quality.reason).toBe(reason);
    expect(quality.score).toBeLessThan(QUALITY_FLOOR);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "never rises as the same palm gets more blurred (palm %i)",
    (identity) => {
      const lens = renderSample(synthesiseIdentity(identity), {
        seed: 1,
        variation: { ...GUIDED_HAND, noise: 0 },
      });
      // The sensor's noise comes after the lens.
      const scores = [0, 2, 4, 8, 16].map((radius) => assessQuality(noisy(blurred(lens, radius))).score);
      expect(scores).toEqual(scores.toSorted((a, b) => b - a));
      expect(scores.at(-1)).toBeLessThan(QUALITY_FLOOR);
    },
  );

  it.each([1, 2, 3, 4])(
    "never rises as the sensor gets noisier, and asks for light (palm %i)",
    (identity) => {
      const judged = [1, 4, 8, 16, 32, 64].map((noise) =>
        assessQuality(
          renderSample(synthesiseIdentity(identity), { seed: 1, variation: { ...GUIDED_HAND, noise } }),
        ),
      );
      const scores = judged.map(({ score }) => score);
      expect(scores).toEqual(scores.toSorted((a, b) => b - a));
      expect(judged.at(-1)).toMatchObject({ reason: "TOO_DARK" });
    },
  );

  it.each([0, 20, 45, 90, 110])("sees that the hand moved, whichever way (%i degrees)", (degrees) => {
    const still = assessQuality(PALM).score;
    const [short, long] = [12, 36].map((lengthPx) => assessQuality(smeared(PALM, lengthPx, degrees)));
    expect(short?.score).toBeLessThan(still);
    expect(long?.score).toBeLessThan(short?.score ?? 0);
    expect(long?.score).toBeLessThan(75);
  });

  it("never rises as light fades, and never falls back to OK", () => {
    const scores = [1, 0.6, 0.4, 0.3, 0.2, 0.1, 0.05, 0].map((gain) => assessQuality(lit(gain, 0)).score);
    expect(scores).toEqual(scores.toSorted((a, b) => b - a));
  });

  it("is that of the palm, not of the camera's resolution", () => {
    for (const times of [2, 4]) expect(assessQuality(enlarged(PALM, times)).reason).toBe("OK");
    expect(assessQuality(enlarged(blurred(PALM, 16), 4)).reason).toBe("BLURRED");
  });

  it("is a whole number of 0 to 100 for any image, and OK exactly from the floor on", () => {
    const anyImage = fc
      .tuple(fc.integer({ min: 16, max: 40 }), fc.integer({ min: 16, max: 40 }), fc.nat(255), fc.nat(255))
      .map(([width, height, base, swing]) =>
        drawn(width, height, (x, y) => (base + ((x * 31 + y * 17) % (swing + 1))) % 256),
      );
    fc.assert(
      fc.property(anyImage, (image) => {
        const { score, reason } = assessQuality(image);
        expect(Number.isInteger(score) && score >= 0 && score <= 100).toBe(true);
        expect(reason === "OK").toBe(score >= QUALITY_FLOOR);
      }),
    );
  });

  it("leaves the image as it was", () => {
    const image = palm(3);
    const before = image.pixels.slice();
    assessQuality(image);
    expect(image.pixels).toEqual(before);
  });
});
