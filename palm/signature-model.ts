// One signature network on one thread: grey region of interest in, signature out.
//
// Invariants:
// - run() blocks the thread: in a service only signer threads hold one of these;
// - one image at a time: the runtime starts a run later than it is asked to, and there is one input tensor, so that a
//   second image must wait or both callers would get the signature of the second;
// - the input tensor is made once, and zeroed after every run, whatever happened: no palm stays in memory;
// - the runtime's own outputs are zeroed too: the one signature is the caller's;
// - what comes out is finite and its vector of unit length, or nothing does.
import "./no-telemetry.js";
import * as ort from "onnxruntime-node";
import { probeCodes, SPECTRA_NUMBERS } from "./codes/probe-codes.js";
import { type GreyImage, resizeSquare } from "./image.js";
import { FRAMES_FIELD_NUMBERS, framedLineMaps } from "./lines/frames.js";
import { type ModelInfo, modelInfo } from "./model-file.js";
import type { Signature } from "./signature.js";

export interface SignatureModel extends ModelInfo {
  /**
   * Signs one region of interest of any size (resampled to inputSize).
   * @returns a probe, the caller's own; undefined for an image without structure (all one grey)
   */
  sign(roi: GreyImage): Promise<Signature | undefined>;
  close(): Promise<void>;
}

/** Largest deviation of a vector's length from 1. */
const UNIT_TOLERANCE = 1e-3;
const NONE = new Uint32Array(0);

/** Loads and warms up the model. @throws Error when the file is missing or is no signature model */
export async function openSignatureModel(path: string): Promise<SignatureModel> {
  const info = await modelInfo(path);
  const { inputSize, dimension, lineMaps: hasLines } = info;
  const session = await ort.InferenceSession.create(path, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: "sequential",
    extra: { session: { intra_op: { allow_spinning: "0" }, inter_op: { allow_spinning: "0" } } },
  });
  const input = new Uint8Array(inputSize * inputSize);
  const tensor = new ort.Tensor("uint8", input, [1, 1, inputSize, inputSize]);
  const signNow = async (roi: GreyImage): Promise<Signature | undefined> => {
    let outputs: Outputs = {};
    try {
      resizeSquare(roi, inputSize, input);
      outputs = await session.run({ roi: tensor });
      const vector = floats(outputs, "signature", dimension);
      if (!hasLines) return isUnit(vector) ? { vector: vector.slice(), lines: NONE, codes: NONE } : undefined;
      const fields = floats(outputs, "fields", FRAMES_FIELD_NUMBERS);
      const spectra = floats(outputs, "spectra", SPECTRA_NUMBERS);
      if (!isUnit(vector)) return undefined;
      const lines = framedLineMaps(fields);
      return { vector: vector.slice(), lines, codes: probeCodes(vector, spectra, fields) };
    } finally {
      input.fill(0);
      for (const { data } of Object.values(outputs)) if (data instanceof Float32Array) data.fill(0);
    }
  };
  let last: Promise<unknown> = Promise.resolve();
  const sign = (roi: GreyImage) => {
    const turn = last.then(() => signNow(roi));
    last = turn.catch(() => undefined);
    return turn;
  };
  await sign({ width: inputSize, height: inputSize, pixels: new Uint8Array(inputSize * inputSize) });
  return { ...info, sign, close: () => session.release() };
}

type Outputs = ort.InferenceSession.OnnxValueMapType;

function floats(outputs: Outputs, name: string, length: number): Float32Array {
  const data = outputs[name]?.data;
  if (data instanceof Float32Array && data.length === length) return data;
  throw new Error(`the model's output '${name}' is not ${length} float32 numbers`);
}

/** Also false for NaN. */
function isUnit(vector: Float32Array): boolean {
  let squares = 0;
  for (const value of vector) squares += value * value;
  return Math.abs(Math.sqrt(squares) - 1) <= UNIT_TOLERANCE;
}
