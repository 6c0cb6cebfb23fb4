// The agent's sight on Node: in a thread of its own, for a look blocks its thread. Only a lane that needs it loads the
// networks.
import type { Sight } from "./sight.js";

export async function openSight(): Promise<Sight> {
  const { SightThread } = await import("../palm/hand/node-sight.js");
  return SightThread.open();
}
