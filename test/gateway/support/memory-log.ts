// The event log's contract in memory: one sequence for all, expected subject sequences, the last event of a subject (one
// part of which may be "*"). It may be away, or lose its answers.
import type { EventLog, LogEvent } from "../../../records/index.js";
import { LogUnavailableError } from "../../../records/index.js";

export type Shelf = Pick<EventLog, "append" | "last">;

export interface MemoryLog extends Shelf {
  events: LogEvent[];
  /** LOG_UNAVAILABLE for everything; nothing is stored. */
  away: boolean;
  /** The next so many appends are stored, and answered with LOG_UNAVAILABLE. */
  losesAnswers: number;
  /** Waited for before an append is stored. */
  beforeStored(subject: string): Promise<void>;
}

export function memoryLog(): MemoryLog {
  const log: MemoryLog = {
    events: [],
    away: false,
    losesAnswers: 0,
    beforeStored: async () => {},
    append: async (subject, body, options) => {
      const unavailable = { ok: false, code: "LOG_UNAVAILABLE", detail: "away" } as const;
      if (log.away) return unavailable;
      await log.beforeStored(subject);
      const last = lastOf(log.events, subject)?.sequence ?? 0;
      const expected = options?.expectedSubjectSequence;
      if (expected !== undefined && expected !== last) return { ok: false, code: "CONFLICT", detail: "" };
      const sequence = log.events.length + 1;
      log.events.push({ subject, sequence, atUnixMs: Date.now(), body });
      if (log.losesAnswers > 0) {
        log.losesAnswers -= 1;
        return unavailable;
      }
      return { ok: true, sequence, duplicate: false };
    },
    last: async (_stream, subject) => {
      if (log.away) throw new LogUnavailableError("away");
      return lastOf(log.events, subject);
    },
  };
  return log;
}

function lastOf(events: LogEvent[], filter: string): LogEvent | undefined {
  const wanted = filter.split(".");
  return events.findLast(({ subject }) => {
    const parts = subject.split(".");
    return (
      parts.length === wanted.length && parts.every((part, at) => wanted[at] === "*" || wanted[at] === part)
    );
  });
}
