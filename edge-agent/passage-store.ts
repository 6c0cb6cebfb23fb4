// What is kept of passages until they are on record: an id, a token, a step and a time, and nothing of a palm.
import { PASSAGE_TOKEN_BYTES, PRESENTATION_ID_BYTES } from "../wire/limits.js";

/**
 * OPENING: the gate is about to open. STARTED: the relay was told to. The others are ends, as in edge.Passage.
 * Each is put before what it names is done.
 */
export const PASSAGE_STEPS = ["OPENING", "STARTED", "OPENED", "EXPIRED", "FAILED"] as const;
export type PassageStep = (typeof PASSAGE_STEPS)[number];

export interface StoredPassage {
  /** Hex. */
  presentation: string;
  /** Hex. */
  token: string;
  step: PassageStep;
  /** Lane's clock. */
  atUnixMs: number;
}

export type Stored = { ok: true } | { ok: false; why: string };

export interface PassageStore {
  /** What earlier runs left, in the order in which the passages began. */
  readonly left: readonly StoredPassage[];
  /**
   * Puts the newest step of a passage in the place of the one before. What a killed process leaves holds it from the
   * moment of the call; a machine that loses its power, once the answer is ok. Never rejects.
   */
  put(passage: StoredPassage): Promise<Stored>;
  /** The passage need not be kept any longer. */
  remove(presentation: string): void;
  close(): Promise<void>;
}

const OK: Promise<Stored> = Promise.resolve({ ok: true });

/** Lives and dies with the process, whose memory of what is not yet acknowledged is its own. */
export const memoryStore: PassageStore = {
  left: [],
  put: () => OK,
  remove: () => {},
  close: async () => {},
};

const HEX_ID = new RegExp(`^[0-9a-f]{${2 * PRESENTATION_ID_BYTES}}$`);
const HEX_TOKEN = new RegExp(`^[0-9a-f]{${2 * PASSAGE_TOKEN_BYTES}}$`);

export const isPresentationHex = (value: unknown): value is string =>
  typeof value === "string" && HEX_ID.test(value);

/** What came out of a store. @returns undefined when it is no passage */
export function readStoredPassage(value: unknown): StoredPassage | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { presentation, token, step, atUnixMs } = value as Partial<Record<keyof StoredPassage, unknown>>;
  const known = PASSAGE_STEPS.find((each) => each === step);
  if (known === undefined || !isPresentationHex(presentation)) return undefined;
  if (typeof token !== "string" || !HEX_TOKEN.test(token)) return undefined;
  if (typeof atUnixMs !== "number" || !Number.isSafeInteger(atUnixMs) || atUnixMs < 0) return undefined;
  return { presentation, token, step: known, atUnixMs };
}
