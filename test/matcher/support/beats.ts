// The beats of a ledger, for as long as a test wants them.
import type { EventLog } from "../../../records/index.js";
import { encodeBeat } from "../../../wire/beat.js";
import type { Keyring } from "../../../wire/keyring.js";
import { BEAT_SUBJECT } from "../../../wire/subjects.js";

const EVERY_MS = 250;

export interface Beats {
  /** One at once. @returns its sequence */
  beat(): Promise<number>;
  pause(): void;
  resume(): void;
  stop(): void;
}

/** @param skewMs of the author's wall clock */
export function startBeats(eventLog: EventLog, keyring: Keyring, skewMs = 0): Beats {
  let isPaused = false;
  let head = 0;
  const beat = async () => {
    const body = encodeBeat(keyring, { atUnixMs: Date.now() + skewMs, ledgerId: "test", headSequence: head });
    const appended = await eventLog.append(BEAT_SUBJECT, body);
    if (appended.ok) head = appended.sequence;
    return head;
  };
  const timer = setInterval(() => {
    if (!isPaused) void beat();
  }, EVERY_MS);
  return {
    beat,
    pause: () => {
      isPaused = true;
    },
    resume: () => {
      isPaused = false;
    },
    stop: () => clearInterval(timer),
  };
}
