// One signature network on one thread: grey region of interest in, unit vector out.
//
// Invariants:
// - run() blocks the thread: in a service only signer threads hold one of these;
// - one image at a time: the runtime starts a run later than it is asked to, and there is one input tensor, so that a
//   second image must wait or both callers would get the signature of the second;
// - the input tensor is made once, and zeroed after every run, whatever happened: no palm stays in memory;
// - the runtime's own output is zeroed too: the one signature is the caller's;
// - what comes out is finite and of unit length, or nothing does.
import "./no-telemetry.js";
import * as ort from "onnxruntime-node";
import { type GreyImage, resizeSquare } from "./image.js";
import { type ModelInfo, modelInfo } from "./model-file.js";

export interface SignatureModel extends ModelInfo {
  /**
   * Signs one region of interest of any size (resampled to inputSize).
   * @returns unit vector of `dimension` numbers, the caller's own; undefined for an image without structure (all one grey)
   */
  sign(roi: GreyImage): Promise<Float32Array | undefined>;
  close(): Promise<void>;
}

/** Largest deviation of a signature's length from 1. */
const UNIT_TOLERANCE = 1e-3;

/** Loads and warms up the model. @throws Error when the file is missing or is no signature model */
export async function openSignatureModel(path: string): Promise<SignatureModel> {
  const info = await modelInfo(path);
  const { inputSize, dimension } = info;
  const session = await ort.InferenceSession.create(path, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: "sequential",
    extra: { session: { intra_op: { allow_spinning: "0" }, inter_op: { allow_spinning: "0" } } },
  });
  const input = new Uint8Array(inputSize * inputSize);
  const tensor = new ort.Tensor("uint8", input, [1, 1, inputSize, inputSize]);
  const signNow = async (roi: GreyImage): Promise<Float32Array | undefined> => {
    try {
      resizeSquare(roi, inputSize, input);
      const { signature } = await session.run({ roi: tensor });
      return checked(signature?.data, dimension);
    } finally {
      input.fill(0);
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

function checked(data: unknown, dimension: number): Float32Array | undefined {
  if (!(data instanceof Float32Array) || data.length !== dimension) {
    throw new Error(`the model's output 'signature' is not ${dimension} float32 numbers`);
  }
  const signature = data.slice();
  data.fill(0);
  let squares = 0;
  for (const value of signature) squares += value * value;
  // Also false for NaN.
  return Math.abs(Math.sqrt(squares) - 1) <= UNIT_TOLERANCE ? signature : undefined;
}
