// A follower with what it has brought, and events for it.
import type { EventLog, Follower, LogEvent } from "../../../records/index.js";
import { log } from "./rig.js";

export const bytes = (text: string) => new TextEncoder().encode(text);

export interface Followed {
  follower: Follower;
  events: LogEvent[];
  batches: number[];
  /** Resolves when the event of that sequence has been taken. */
  reached(sequence: number): Promise<void>;
}

export function followAll(
  eventLog: EventLog,
  options: { filters: string[]; afterSequence?: number; maxBatchEvents?: number },
  onBatch: (events: LogEvent[]) => Promise<void> | void = () => {},
): Followed {
  const events: LogEvent[] = [];
  const batches: number[] = [];
  const waiting: { sequence: number; resolve: () => void }[] = [];
  const follower = eventLog.follow({
    stream: "MEMBERS",
    afterSequence: 0,
    ...options,
    log,
    onBatch: async (batch) => {
      await onBatch(batch);
      batches.push(batch.length);
      events.push(...batch);
      const last = batch.at(-1)?.sequence ?? 0;
      for (const each of waiting) if (last >= each.sequence) each.resolve();
    },
  });
  return {
    follower,
    events,
    batches,
    reached: (sequence) =>
      new Promise((resolve) => {
        if ((events.at(-1)?.sequence ?? options.afterSequence ?? 0) >= sequence) resolve();
        else waiting.push({ sequence, resolve });
      }),
  };
}

export async function append(eventLog: EventLog, subject: string, count = 1): Promise<number[]> {
  const sequences: number[] = [];
  for (let i = 0; i < count; i++) {
    const appended = await eventLog.append(subject, bytes(`${i}`));
    if (!appended.ok) throw new Error(appended.detail);
    sequences.push(appended.sequence);
  }
  return sequences;
}

export const sequencesOf = (events: LogEvent[]) => events.map(({ sequence }) => sequence);
