import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { modelInfo, openSignatureModel } from "../../palm/index.js";
import { failingModel } from "./onnx-file.js";
import { GABOR, MODEL, palm, temporaryFolder } from "./support.js";

async function fileOf(bytes: Uint8Array | string): Promise<string> {
  const path = join(await temporaryFolder(), "model.onnx");
  await writeFile(path, bytes);
  return path;
}

/** Of the line fields that this version reads. */
const FIELD_SIDE = 63;
const METADATA = { model_id: "odd", dimension: "4", input_size: "32" };
/** Of a model with line maps and codes. */
const WITH_LINES = {
  ...METADATA,
  dimension: "256",
  line_field_side: String(FIELD_SIDE),
  spectrum_bits: "512",
  spectrum_looks: "9",
};

describe("facts in a model file", () => {
  it("of the committed model agree with what the network takes and gives", async () => {
    const { modelId, dimension, inputSize, lineMaps } = await modelInfo(MODEL);
    expect(modelId).toMatch(/^[a-z0-9-]+$/);
    const session = await ort.InferenceSession.create(MODEL);
    const ask = (side: number) => {
      const input = new Uint8Array(side * side).map((_, at) => at % 251);
      return session.run({ roi: new ort.Tensor("uint8", input, [1, 1, side, side]) });
    };
    const { signature, fields, spectra } = await ask(inputSize);
    expect(signature?.dims).toEqual([1, dimension]);
    expect(lineMaps).toBe(true);
    expect(fields?.dims).toEqual([1, 4, FIELD_SIDE, FIELD_SIDE]);
    expect(spectra?.dims).toEqual([1, 2, 9, 512]);
    await expect(ask(inputSize + 1)).rejects.toThrow(/dimension/i);
    await session.release();
  });

  it("are read from a file made by hand", async () => {
    const path = await fileOf(failingModel({ metadata: METADATA, side: 32, dimension: 4 }));
    expect(await modelInfo(path)).toEqual({ modelId: "odd", dimension: 4, inputSize: 32, lineMaps: false });
  });

  it("say that there are line maps when they give the side of a line field, else that there are none", async () => {
    const path = await fileOf(failingModel({ metadata: WITH_LINES, side: 32, dimension: 256 }));
    expect(await modelInfo(path)).toMatchObject({ lineMaps: true });
    expect(await modelInfo(GABOR)).toMatchObject({ lineMaps: false });
  });

  it.each(["62", "0", "", "many"])("are refused with a line field %j wide, naming the file", async (side) => {
    const metadata = { ...WITH_LINES, line_field_side: side };
    const path = await fileOf(failingModel({ metadata, side: 32, dimension: 256 }));
    await expect(modelInfo(path)).rejects.toThrow(
      `${path}: its line_field_side is ${side}, this version reads ${FIELD_SIDE}.`,
    );
  });

  it.each([
    ["spectrum_bits", "256", "512"],
    ["spectrum_looks", "8", "9"],
    ["dimension", "128", "256"],
  ])("are refused where codes cannot be made of them: %s of %s", async (key, found, wanted) => {
    const metadata = { ...WITH_LINES, [key]: found };
    const path = await fileOf(failingModel({ metadata, side: 32, dimension: 256 }));
    await expect(modelInfo(path)).rejects.toThrow(`its ${key} is ${found}, this version reads ${wanted}.`);
  });

  it("are refused with a line field and no spectra: a file of an earlier version", async () => {
    const { spectrum_bits: _, ...metadata } = WITH_LINES;
    const path = await fileOf(failingModel({ metadata, side: 32, dimension: 256 }));
    await expect(modelInfo(path)).rejects.toThrow("its spectrum_bits is not there");
  });

  it.each([
    ["no model id", { dimension: "4", input_size: "32" }],
    ["no dimension", { model_id: "odd", input_size: "32" }],
    ["no input size", { model_id: "odd", dimension: "4" }],
    ["a dimension that is no number", { ...METADATA, dimension: "many" }],
    ["a dimension of nothing", { ...METADATA, dimension: "0" }],
    ["half a pixel", { ...METADATA, input_size: "32.5" }],
  ])("are refused with %s, naming what is needed", async (_, metadata) => {
    const path = await fileOf(failingModel({ metadata, side: 32, dimension: 4 }));
    await expect(modelInfo(path)).rejects.toThrow(/metadata model_id, dimension and input_size are needed/);
  });

  it.each([
    ["text", "this is not a model at all"],
    ["nothing", ""],
    ["a broken protobuf", new Uint8Array(64).fill(0xff)],
  ])("are refused when the file holds %s, naming the file", async (_, bytes) => {
    const path = await fileOf(bytes);
    await expect(modelInfo(path)).rejects.toThrow(path);
  });

  it("are refused when the committed file was cut short", async () => {
    const whole = await readFile(MODEL);
    const path = await fileOf(whole.subarray(0, whole.length / 2));
    await expect(modelInfo(path)).rejects.toThrow(path);
  });

  it("name the file that is not there", async () => {
    const path = join(await temporaryFolder(), "absent.onnx");
    await expect(modelInfo(path)).rejects.toThrow(path);
  });
});

describe("a model whose facts do not hold", () => {
  it("is refused at start when it gives another number of numbers", async () => {
    const metadata = { ...METADATA, dimension: "5" };
    const path = await fileOf(failingModel({ metadata, side: 32, dimension: 4 }));
    await expect(openSignatureModel(path)).rejects.toThrow("not 5 float32 numbers");
  });

  it("is refused at start when it gives no line field and its facts promise one", async () => {
    const path = await fileOf(failingModel({ metadata: WITH_LINES, side: 32, dimension: 256 }));
    await expect(openSignatureModel(path)).rejects.toThrow(
      `the model's output 'fields' is not ${4 * FIELD_SIDE * FIELD_SIDE} float32 numbers`,
    );
  });

  it("is refused at start when it takes another size", async () => {
    const metadata = { ...METADATA, input_size: "16" };
    const path = await fileOf(failingModel({ metadata, side: 32, dimension: 4 }));
    await expect(openSignatureModel(path)).rejects.toThrow(/dimension/i);
  });

  it("rejects at the image on which it fails, and goes on with the next", async () => {
    const path = await fileOf(failingModel({ metadata: METADATA, side: 32, dimension: 4 }));
    const model = await openSignatureModel(path);
    await expect(model.sign(palm(1))).rejects.toThrow(/out of data bounds/);
    const black = { width: 32, height: 32, pixels: new Uint8Array(32 * 32) };
    expect(await model.sign(black)).toEqual({
      vector: Float32Array.of(1, 0, 0, 0),
      lines: new Uint32Array(0),
      codes: new Uint32Array(0),
    });
    await model.close();
  });
});
