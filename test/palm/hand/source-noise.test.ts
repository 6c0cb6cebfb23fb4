import { describe, expect, it } from "vitest";
import { gaussian, seeded } from "../../../bench/seeded.js";
import { judge } from "../../../palm/hand/judge.js";
import { noiseInCut } from "../../../palm/hand/source-noise.js";
import type { HandImage } from "../../../palm/hand/types.js";
import { type GreyImage, renderSample, synthesiseIdentity } from "../../../palm/index.js";
import { drawnHand } from "./drawn-hand.js";

const SIDE = 400;
const CENTRE = { x: 200, y: 200 };

/** Slanting light, and noise of a given standard deviation in every channel alike. */
function image(deviation: number, channels: 1 | 3 | 4 = 1): HandImage {
  const random = seeded(5);
  const pixels = new Uint8Array(SIDE * SIDE * channels);
  for (let at = 0; at < SIDE * SIDE; at++) {
    const grey = 90 + 60 * ((at % SIDE) / SIDE) + deviation * gaussian(random);
    pixels.fill(grey, at * channels, (at + 1) * channels);
  }
  return { width: SIDE, height: SIDE, channels, pixels };
}

const noiseOf = (given: HandImage, sidePx: number) =>
  noiseInCut(given, drawnHand({ centre: CENTRE, sidePx }).corners);

describe("noise of the image that a region is cut from", () => {
  it("is the sensor's, in grey and in colour, and not the light's", () => {
    expect(noiseOf(image(0), 128)).toBeLessThan(0.2);
    for (const channels of [1, 3, 4] as const) {
      const noise = noiseOf(image(10, channels), 128);
      expect(noise).toBeGreaterThan(50);
      expect(noise).toBeLessThan(75);
    }
  });

  it("is averaged away as more pixels make one of the crop's, and never grows", () => {
    const [same, half, few] = [128, 256, 64].map((sidePx) => noiseOf(image(10), sidePx));
    expect(half).toBeCloseTo((same ?? 0) / 4, 6);
    expect(few).toBe(same);
  });

  it("is unknown, so nothing, where no window fits or the region is nowhere", () => {
    const tiny: HandImage = { width: 63, height: 200, channels: 1, pixels: new Uint8Array(63 * 200).fill(9) };
    expect(noiseOf(tiny, 40)).toBe(0);
    expect(noiseInCut(image(10), drawnHand({ centre: { x: Number.NaN, y: 0 } }).corners)).toBe(0);
    expect(noiseInCut(image(10), drawnHand({ centre: { x: 9e9, y: -9e9 } }).corners)).toBeGreaterThan(0);
  });

  it("asks for light when it hides the lines, though the crop was smoothed by cutting", () => {
    const roi: GreyImage = renderSample(synthesiseIdentity(7), { seed: 1 });
    const judged = (deviation: number) =>
      judge(image(deviation), drawnHand({ centre: CENTRE, sidePx: 128 }), roi);
    expect(judged(2).reason).toBe("OK");
    expect(judged(40)).toMatchObject({ reason: "TOO_DARK" });
    expect(judged(40).score).toBeLessThan(judged(8).score);
  });
});
