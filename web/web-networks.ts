// The hand networks in a browser: onnxruntime-web, WebAssembly with SIMD, one thread.
//
// Invariants:
// - everything comes from the gateway that served the page: no other host is ever asked;
// - what the runtime allocated for a run is let go of after it; the input is the caller's.
import * as ort from "onnxruntime-web/wasm";
import type { HandNetworks, Network } from "../palm/hand/index.js";
import { ASSETS } from "./assets.js";

/** Rejects when a file does not load or is no network of one float32 input. */
export async function openWebNetworks(): Promise<HandNetworks> {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { wasm: ASSETS.wasm };
  // Both at once; the runtime takes one after the other.
  const [palmDetection, handLandmarks] = await Promise.all([
    openNetwork(ASSETS.palmDetection),
    openNetwork(ASSETS.handLandmarks),
  ]);
  return { palmDetection, handLandmarks };
}

async function openNetwork(url: string): Promise<Network> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} did not load: ${answer.status}`);
  const session = await ort.InferenceSession.create(await answer.arrayBuffer(), {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
  });
  const [input] = session.inputMetadata;
  if (!input?.isTensor || input.type !== "float32") throw new Error(`${url} takes no float32 tensor`);
  const shape = input.shape.map((size) => (typeof size === "number" && size > 0 ? size : 1));
  return {
    run: async (pixels) => {
      const tensor = new ort.Tensor("float32", pixels, shape);
      return floatsOf(await session.run({ [input.name]: tensor }));
    },
    close: () => session.release(),
  };
}

function floatsOf(outputs: ort.InferenceSession.ReturnType): Record<string, Float32Array> {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, { data }]) => {
      if (!(data instanceof Float32Array)) throw new Error(`the output ${name} is not float32`);
      return [name, data];
    }),
  );
}
