// The thread that owns the hand networks and looks at one image at a time.
//
// Invariants:
// - pixels are zeroed before the answer leaves, also when something failed; a crop is transferred, not copied;
// - the thread stops by message, between two looks (a session torn down in the middle of a run aborts the process).
import { parentPort } from "node:worker_threads";
import { openNodeHandNetworks } from "./node-networks.js";
import { HandSight } from "./sight.js";
import type { FromSight, ToSight } from "./sight-messages.js";

const port = parentPort;
if (port === null) throw new Error("sight-thread.js runs as a worker thread only");

const networks = await openNodeHandNetworks();
const sight = new HandSight(networks);

port.on("message", async (message: ToSight) => {
  switch (message.kind) {
    case "look": {
      const answer = await look(message);
      const crop =
        answer.kind === "look" && answer.look.kind === "palm" ? [answer.look.roi.pixels.buffer] : [];
      port.postMessage(answer, crop as ArrayBuffer[]);
      return;
    }
    case "forget":
      sight.forget();
      return;
    case "stop":
      port.close();
      await networks.palmDetection.close();
      await networks.handLandmarks.close();
  }
});
port.postMessage({ kind: "ready" } satisfies FromSight);

async function look({ image, nowMs }: ToSight & { kind: "look" }): Promise<FromSight> {
  try {
    return {
      kind: "look",
      look: await (nowMs === undefined ? sight.lookAtStill(image) : sight.look(image, nowMs)),
    };
  } catch (error) {
    return { kind: "failed", why: error instanceof Error ? error.message : String(error) };
  } finally {
    image.pixels.fill(0);
  }
}
