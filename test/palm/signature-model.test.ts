import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import {
  type GreyImage,
  loadCalibration,
  openSignatureModel,
  type SignatureModel,
  thresholdFor,
} from "../../palm/index.js";
import { CALIBRATION, dot, drawn, MODEL, palm } from "./support.js";

const IDENTITIES = 30;
/** Seeds that neither the calibration nor the demo use. */
const FIRST = 9_000_000;

let model: SignatureModel;
beforeAll(async () => {
  model = await openSignatureModel(MODEL);
});
afterAll(() => model.close());

async function signed(roi: GreyImage): Promise<Float32Array> {
  const signature = await model.sign(roi);
  if (!signature) throw new Error("an image with structure has a signature");
  return signature;
}

describe("the signature of a palm", () => {
  it("is a unit vector of the stated dimension, of finite numbers", async () => {
    for (let i = 0; i < 20; i++) {
      const signature = await signed(palm(FIRST + i));
      expect(signature).toHaveLength(model.dimension);
      expect(signature.every(Number.isFinite)).toBe(true);
      expect(dot(signature, signature)).toBeCloseTo(1, 4);
    }
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
    const together = await Promise.all(images.map(signed));
    for (const [i, image] of images.entries()) expect(together[i]).toEqual(await signed(image));
  });

  it("hardly depends on the resolution of the image", async () => {
    const image = palm(FIRST);
    const double = drawn(256, 256, (x, y) => image.pixels[(y >> 1) * 128 + (x >> 1)] ?? 0);
    expect(dot(await signed(image), await signed(double))).toBeCloseTo(1, 4);
  });

  it("does not depend on exposure, within what the grey values can tell apart", async () => {
    const image = palm(FIRST);
    const darker = { ...image, pixels: image.pixels.map((grey) => grey * 0.6) };
    expect(dot(await signed(image), await signed(darker))).toBeGreaterThan(0.98);
  });

  it.each([0, 1, 128, 255])("does not exist for an image of one grey (%i)", async (grey) => {
    expect(await model.sign(drawn(128, 128, () => grey))).toBeUndefined();
    expect(await model.sign(drawn(40, 70, () => grey))).toBeUndefined();
  });

  it("leaves nothing of a palm behind for the next image", async () => {
    await signed(palm(FIRST));
    expect(await model.sign(drawn(128, 128, () => 128))).toBeUndefined();
  });

  it("stays nowhere but with the caller: the runtime's own output is zeroed", async () => {
    const session = await ort.InferenceSession.create(MODEL);
    const run = vi.spyOn(Object.getPrototypeOf(session), "run");
    onTestFinished(async () => {
      run.mockRestore();
      await session.release();
    });
    const signature = await signed(palm(FIRST));
    expect(run.mock.settledResults).toEqual([
      {
        type: "fulfilled",
        value: { signature: expect.objectContaining({ data: new Float32Array(model.dimension) }) },
      },
    ]);
    expect(dot(signature, signature)).toBeCloseTo(1, 4);
  });

  it("leaves the caller's pixels to the caller", async () => {
    const image = palm(FIRST);
    const before = image.pixels.slice();
    await signed(image);
    expect(image.pixels).toEqual(before);
  });
});

describe("two signatures", () => {
  it("of one palm pass the threshold of one false match in a million, of two palms do not", async () => {
    const threshold = thresholdFor(await loadCalibration(CALIBRATION), 1e-6);
    const enrolled: Float32Array[] = [];
    const presented: Float32Array[] = [];
    for (let i = 0; i < IDENTITIES; i++) {
      enrolled.push(await signed(palm(FIRST + i, 1)));
      presented.push(await signed(palm(FIRST + i, 2)));
    }
    for (const [i, a] of enrolled.entries()) {
      for (const [j, b] of presented.entries()) {
        if (i === j) expect(dot(a, b), `palm ${i} with itself`).toBeGreaterThan(threshold);
        else expect(dot(a, b), `palms ${i} and ${j}`).toBeLessThan(threshold);
      }
    }
  });
});
