// What the log hands out and what it answers. Types only.

/** One event as the log stores it. `sequence` is that of its stream: it only grows, with gaps where events were erased. */
export interface LogEvent {
  subject: string;
  sequence: number;
  /** When the log stored it. */
  atUnixMs: number;
  body: Uint8Array;
  /** As it was appended with. */
  messageId?: string;
}

export type Appended =
  /** `duplicate`: an event with this message id was stored before; `sequence` is that event's. */
  | { ok: true; sequence: number; duplicate: boolean }
  /**
   * CONFLICT: the subject's last sequence is another than expected; nothing was stored.
   * STORE_FULL: the log's disk or quota refuses; nothing was stored.
   * LOG_UNAVAILABLE: no answer in time. The event may be stored now or later: repeat it with the same message id, or
   * with an expected subject sequence, and it is stored once.
   */
  | { ok: false; code: "CONFLICT" | "STORE_FULL" | "LOG_UNAVAILABLE"; detail: string };

export type Deleted =
  | { ok: true; sequences: number[] }
  | { ok: false; code: "LOG_UNAVAILABLE"; detail: string };

/** The log did not answer, or answered with an error that the caller cannot mend: the reads throw it. */
export class LogUnavailableError extends Error {}
