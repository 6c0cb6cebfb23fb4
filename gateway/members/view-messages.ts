// What the main thread and the view thread say to each other. The main thread says only "stop".
import type { TABLES } from "./rows.js";

/** What is followed; each is a source of the view by its stream's name. */
export const SOURCES = ["members", "decisions", "payments"] as const;
export type Source = (typeof SOURCES)[number];

/** Given to the thread at its start. */
export interface ViewThreadSettings {
  natsUrl: string;
  /** The view's directory. */
  path: string;
}

export const STOP = "stop";

export type FromViewThread =
  /** The view and every table of TABLES are there to be read. */
  | { type: "open"; tables: (typeof TABLES)[keyof typeof TABLES][] }
  /** Committed and flushed up to `sequence`. `changed`: members (of `members`), presentations granted (of `decisions`). */
  | { type: "applied"; source: Source; sequence: number; changed: string[] }
  /** Events that the log is known to hold and the view has not applied. */
  | { type: "lag"; source: Source; events: number }
  /** What the log held when the thread started is applied. */
  | { type: "caughtUp"; source: Source };
