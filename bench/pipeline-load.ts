// Load on a running gateway: so many lanes, each presenting one palm after another, so that as many presentations are
// in flight as there are lanes. Every presentation is one frame that says it is the last.
import { type Agent, startAgent } from "../edge-agent/agent.js";
import { loadDeviceKey } from "../edge-agent/device-key.js";
import { greyImage } from "../edge-agent/source/source.js";
import type { GreyImage } from "../palm/index.js";
import { edge } from "../wire/codec.js";
import type { Log } from "../wire/log.js";

export interface Load {
  /** Takes `decisions` decisions and says what came of them. */
  run(decisions: number): Promise<LoadResult>;
  close(): Promise<void>;
}

export interface LoadResult {
  matches: number;
  undecided: number;
  busy: number;
  wallMs: number;
  roundTripMs: number[];
}

/** @param deviceIds one per lane, in the directory */
export async function openLoad(
  linkUrl: string,
  deviceIds: readonly string[],
  keyFile: (deviceId: string) => string,
  palms: readonly GreyImage[],
  log: Log,
): Promise<Load> {
  const agents: Agent[] = [];
  for (const deviceId of deviceIds) {
    agents.push(await startAgent({ gateway: linkUrl, deviceId, key: loadDeviceKey(keyFile(deviceId)), log }));
  }
  let next = 0;
  const nextPalm = (): GreyImage => {
    const palm = palms[next++ % palms.length];
    if (palm === undefined) throw new Error("the bench has no palms to present");
    return palm;
  };
  return {
    run: async (decisions) => {
      const result: LoadResult = { matches: 0, undecided: 0, busy: 0, wallMs: 0, roundTripMs: [] };
      const fromMs = performance.now();
      let left = decisions;
      const lane = async (agent: Agent) => {
        while (left > 0) {
          left -= 1;
          if (!(await one(agent, nextPalm(), result))) left += 1;
        }
      };
      await Promise.all(agents.map(lane));
      result.wallMs = performance.now() - fromMs;
      return result;
    },
    close: async () => {
      await Promise.all(agents.map((agent) => agent.close()));
    },
  };
}

/** @returns whether a decision came of it */
async function one(agent: Agent, palm: GreyImage, result: LoadResult): Promise<boolean> {
  const end = await agent.present([greyImage(palm)]);
  if (end.kind !== "decision") {
    if (end.kind === "error" && end.code === "BUSY") {
      result.busy += 1;
      return false;
    }
    throw new Error(`a presentation ended without a decision: ${end.kind === "error" ? end.code : end.kind}`);
  }
  result.roundTripMs.push(end.roundTripMs);
  if (end.decision.outcome === edge.Outcome.MATCH) result.matches += 1;
  if (end.decision.outcome === edge.Outcome.UNDECIDED) result.undecided += 1;
  return true;
}
