import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { SPECTRA_NUMBERS } from "../../palm/codes/probe-codes.js";
import {
  dot,
  type GreyImage,
  loadCalibration,
  openSignatureModel,
  PROBE_CODE_WORDS,
  PROBE_LINES_WORDS,
  type Signature,
  type SignatureModel,
  similarity,
  templateOf,
  thresholdFor,
} from "../../palm/index.js";
import { FRAMES_FIELD_NUMBERS } from "../../palm/lines/frames.js";
import { CALIBRATION, drawn, GABOR, MODEL, palm } from "./support.js";

const IDENTITIES = 30;
/** Seeds that neither the calibration nor the demo use. */
const FIRST = 9_000_000;

let model: SignatureModel;
beforeAll(async () => {
  model = await openSignatureModel(MODEL);
});
afterAll(() => model.close());

async function signed(roi: GreyImage, by = model): Promise<Signature> {
  const signature = await by.sign(roi);
  if (!signature) throw new Error("an image with structure has a signature");
  return signature;
}

describe("the signature of a palm", () => {
  it("is a unit vector of the stated dimension, of finite numbers, and the line maps and codes of a probe", async () => {
    expect(model.lineMaps).toBe(true);
    for (let i = 0; i < 20; i++) {
      const { vector, lines, codes } = await signed(palm(FIRST + i));
      expect(vector).toHaveLength(model.dimension);
      expect(vector.every(Number.isFinite)).toBe(true);
      expect(dot(vector, vector)).toBeCloseTo(1, 4);
      expect(lines).toHaveLength(PROBE_LINES_WORDS);
      expect(codes).toHaveLength(PROBE_CODE_WORDS);
      for (const words of [lines, codes]) expect(words.some((word) => word !== 0)).toBe(true);
    }
  });

  it("has no line maps from a model that makes none; then the vectors say how alike two are", async () => {
    const gabor = await openSignatureModel(GABOR);
    onTestFinished(() => gabor.close());
    const [a, b] = [await signed(palm(FIRST, 1), gabor), await signed(palm(FIRST, 2), gabor)];
    expect(gabor.lineMaps).toBe(false);
    for (const { lines, codes } of [a, b]) expect([lines.length, codes.length]).toEqual([0, 0]);
    expect(similarity(a, templateOf(b))).toBe(Math.fround(dot(a.vector, b.vector)));
  });

  it("is the same bytes for the same pixels, in this session and in another", async () => {
    const other = await openSignatureModel(MODEL);
    const first = await signed(palm(FIRST));
    await signed(palm(FIRST + 1));
    expect(await signed(palm(FIRST))).toEqual(first);
    expect(await other.sign(palm(FIRST))).toEqual(first);
    await other.close();
  });

  it("of images handed in at once belongs to each image, not to the last", async () => {
    const images = Array.from({ length: 6 }, (_, i) => palm(FIRST + i));
    const together = await Promise.all(images.map((image) => signed(image)));
    for (const [i, image] of images.entries()) expect(together[i]).toEqual(await signed(image));
  });

  it("hardly depends on the resolution of the image", async () => {
    const image = palm(FIRST);
    const double = drawn(256, 256, (x, y) => image.pixels[(y >> 1) * 128 + (x >> 1)] ?? 0);
    const [one, other] = [await signed(image), await signed(double)];
    expect(dot(one.vector, other.vector)).toBeCloseTo(1, 4);
    expect(similarity(one, other)).toBeGreaterThan(0.98);
  });

  it("does not depend on exposure, within what the grey values can tell apart", async () => {
    const image = palm(FIRST);
    const darker = { ...image, pixels: image.pixels.map((grey) => grey * 0.6) };
    const [one, other] = [await signed(image), await signed(darker)];
    expect(dot(one.vector, other.vector)).toBeGreaterThan(0.98);
    expect(similarity(one, other)).toBeGreaterThan(0.8);
  });

  it.each([0, 1, 128, 255])("does not exist for an image of one grey (%i)", async (grey) => {
    expect(await model.sign(drawn(128, 128, () => grey))).toBeUndefined();
    expect(await model.sign(drawn(40, 70, () => grey))).toBeUndefined();
  });

  it("leaves nothing of a palm behind for the next image", async () => {
    await signed(palm(FIRST));
    expect(await model.sign(drawn(128, 128, () => 128))).toBeUndefined();
  });

  it("stays nowhere but with the caller: the runtime's own outputs are zeroed", async () => {
    const session = await ort.InferenceSession.create(MODEL);
    const run = vi.spyOn(Object.getPrototypeOf(session), "run");
    onTestFinished(async () => {
      run.mockRestore();
      await session.release();
    });
    const { vector, lines, codes } = await signed(palm(FIRST));
    expect(run.mock.settledResults).toEqual([
      {
        type: "fulfilled",
        value: {
          signature: expect.objectContaining({ data: new Float32Array(model.dimension) }),
          fields: expect.objectContaining({ data: new Float32Array(FRAMES_FIELD_NUMBERS) }),
          spectra: expect.objectContaining({ data: new Float32Array(SPECTRA_NUMBERS) }),
        },
      },
    ]);
    expect(dot(vector, vector)).toBeCloseTo(1, 4);
    for (const words of [lines, codes]) expect(words.some((word) => word !== 0)).toBe(true);
  });

  it("leaves the caller's pixels to the caller", async () => {
    const image = palm(FIRST);
    const before = image.pixels.slice();
    await signed(image);
    expect(image.pixels).toEqual(before);
  });
});

describe("two signatures", () => {
  const presented: Signature[] = [];
  const enrolled: Signature[] = [];
  beforeAll(async () => {
    for (let i = 0; i < IDENTITIES; i++) {
      enrolled.push(templateOf(await signed(palm(FIRST + i, 1))));
      presented.push(await signed(palm(FIRST + i, 2)));
    }
  });

  /** Of every probe with every template, those of one palm and those of two. */
  function compared() {
    const pairs = presented.flatMap((probe, i) =>
      enrolled.map((template, j) => ({ mated: i === j, alike: similarity(probe, template) })),
    );
    const of = (wanted: boolean) => pairs.filter(({ mated }) => mated === wanted).map(({ alike }) => alike);
    return { mated: of(true), strangers: of(false) };
  }

  it("of one palm are more alike than any of two palms", () => {
    const { mated, strangers } = compared();
    expect(Math.min(...mated)).toBeGreaterThan(Math.max(...strangers));
  });

  it("of one palm pass the threshold of one false match in a million, of two palms do not", async () => {
    const threshold = thresholdFor(await loadCalibration(CALIBRATION, model.modelId), 1e-6);
    const { mated, strangers } = compared();
    expect(Math.min(...mated)).toBeGreaterThan(threshold);
    expect(Math.max(...strangers)).toBeLessThan(threshold);
  });
});
