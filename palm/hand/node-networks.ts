// The hand networks on onnxruntime-node. run() blocks its thread: in a service only sight threads hold these.
//
// Invariants: one core each, no spinning; one run at a time (the runtime starts a run later than it is asked to, and the
// input is the caller's to zero as soon as the answer is there); the runtime's own outputs are the caller's copies.
import "../no-telemetry.js";
import { fileURLToPath } from "node:url";
import * as ort from "onnxruntime-node";
import { DETECTOR_SIDE_PX } from "./detector.js";
import { LANDMARK_SIDE_PX } from "./landmarks.js";
import type { HandNetworks, Network } from "./types.js";

/** Where the committed networks lie, seen from the sources and from dist/. */
const MODEL_FOLDER = new URL(
  import.meta.url.endsWith(".ts") ? "../../model/" : "../../../model/",
  import.meta.url,
);

/** Loads and warms up both networks. @throws Error when a file is missing or is no such network */
export async function openNodeHandNetworks(): Promise<HandNetworks> {
  const [palmDetection, handLandmarks] = await Promise.all([
    openNetwork("palm_detection.onnx", DETECTOR_SIDE_PX),
    openNetwork("hand_landmarks.onnx", LANDMARK_SIDE_PX),
  ]);
  return { palmDetection, handLandmarks };
}

async function openNetwork(file: string, sidePx: number): Promise<Network> {
  const session = await ort.InferenceSession.create(fileURLToPath(new URL(file, MODEL_FOLDER)), {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: "sequential",
    extra: { session: { intra_op: { allow_spinning: "0" }, inter_op: { allow_spinning: "0" } } },
  });
  const runNow = async (input: Float32Array) => {
    const image = new ort.Tensor("float32", input, [1, sidePx, sidePx, 3]);
    const outputs: Record<string, Float32Array> = {};
    for (const [name, { data }] of Object.entries(await session.run({ image }))) {
      if (!(data instanceof Float32Array)) throw new Error(`${file}: output ${name} is not float32`);
      outputs[name] = data;
    }
    return outputs;
  };
  let last: Promise<unknown> = Promise.resolve();
  const run = (input: Float32Array) => {
    const turn = last.then(() => runNow(input));
    last = turn.catch(() => undefined);
    return turn;
  };
  await run(new Float32Array(sidePx * sidePx * 3));
  return { run, close: () => session.release() };
}
