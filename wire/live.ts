// Decisions as they fall, for live pages: published to live.<organisation> as JSON, heard by whoever listens just then.
// No similarity and no member id: what operators may see, and nothing more.
import { z } from "zod";

const stages = z.object({
  receiveMs: z.number(),
  queueMs: z.number(),
  signMs: z.number(),
  searchMs: z.number(),
  decideMs: z.number(),
  actMs: z.number(),
  totalMs: z.number(),
});

const liveDecision = z.object({
  organisation: z.string(),
  /** Log's clock. */
  atUnixMs: z.number(),
  gateway: z.string(),
  site: z.string(),
  deviceId: z.string(),
  purpose: z.enum(["ENTRY", "PAY"]),
  outcome: z.enum(["MATCH", "NO_MATCH", "AMBIGUOUS", "LOW_QUALITY", "UNDECIDED"]),
  granted: z.boolean(),
  /** Of palmgate.edge.Reason. */
  reason: z.string(),
  displayKey: z.string(),
  /** Empty unless the outcome is MATCH. */
  pairwiseId: z.string(),
  /** Milliseconds by stage, summed over the frames; total is first frame in -> decision out. */
  stages,
  frames: z.number(),
});

export type LiveDecision = z.output<typeof liveDecision>;
export type Stages = z.output<typeof stages>;

export const encodeLive = (decision: LiveDecision): string => JSON.stringify(decision);

/** `undefined`: the bytes are no decision. Never throws. */
export function readLive(text: string): LiveDecision | undefined {
  try {
    return liveDecision.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
