// A signer: the thread that owns one ONNX session and turns one region of interest at a time into a signature.
//
// Invariants:
// - pixels are zeroed before the answer leaves, also when something failed;
// - the thread stops by message, between two runs (an ONNX session torn down in the middle of one aborts the process).
import { parentPort, workerData } from "node:worker_threads";
import { decodeImage } from "./decode-image.js";
import { assessQuality } from "./quality.js";
import type { Signature } from "./signature.js";
import { openSignatureModel, type SignatureModel } from "./signature-model.js";
import type { FromSigner, ToSigner } from "./signer-messages.js";

const port = parentPort;
if (port === null) throw new Error("signer-thread.js runs as a worker thread only");

const model = await openSignatureModel((workerData as { modelPath: string }).modelPath);
const NOT_SIGNED: Signature = {
  vector: new Float32Array(0),
  lines: new Uint32Array(0),
  codes: new Uint32Array(0),
};

port.on("message", async (message: ToSigner) => {
  if (message.kind === "stop") {
    port.close();
    await model.close();
    return;
  }
  const reply = await sign(model, message);
  port.postMessage(reply, reply.kind === "signed" ? buffersOf(reply.signature) : []);
});
port.postMessage({ kind: "ready" } satisfies FromSigner);

/** What is handed over, not copied: nothing of it stays here. Empty ones are shared. */
function buffersOf({ vector, lines, codes }: Signature): ArrayBuffer[] {
  return [vector, lines, codes].filter(({ length }) => length > 0).map(({ buffer }) => buffer as ArrayBuffer);
}

async function sign(model: SignatureModel, job: ToSigner & { kind: "sign" }): Promise<FromSigner> {
  const startedAtMs = performance.now();
  const bytes = new Uint8Array(job.pixels);
  const decoded = await decodeImage(job.encoding, job.width, job.height, bytes);
  try {
    if (!decoded.ok) return { kind: "refused", code: decoded.code, detail: decoded.detail };
    const quality = assessQuality(decoded.image);
    if (quality.reason !== "OK")
      return { kind: "signed", signature: NOT_SIGNED, quality, signMs: performance.now() - startedAtMs };
    const signature = await model.sign(decoded.image);
    const signMs = performance.now() - startedAtMs;
    if (signature) return { kind: "signed", signature, quality, signMs };
    return { kind: "signed", signature: NOT_SIGNED, quality: { score: 0, reason: "LOW_CONTRAST" }, signMs };
  } finally {
    if (decoded.ok) decoded.image.pixels.fill(0);
    bytes.fill(0);
  }
}
