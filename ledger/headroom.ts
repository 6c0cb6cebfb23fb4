// What MEMBERS and KEYS keep free: room for beats and erasures, which must go through however full the log is.
//
// Invariants:
// - nobody is enrolled into the last RESERVE_BYTES (or RESERVE_PART, of a small quota) of either stream's quota;
// - where the server's own limit is the first to be met, which no client is told of beforehand, nobody is enrolled for
//   FULL_FOR_MS after the log has refused something for want of room;
// - the log is asked at most once in KNOWN_FOR_MS.
import { type EventLog, LogUnavailableError } from "../records/index.js";
import { STREAMS } from "../wire/subjects.js";

/** Beats of an hour, and tens of thousands of erasures. */
export const RESERVE_BYTES = 8 * 1024 ** 2;
/** Of the quota, where that is less. */
const RESERVE_PART = 1 / 4;
const KNOWN_FOR_MS = 1000;
const FULL_FOR_MS = 60_000;

export class Headroom {
  readonly #eventLog: Pick<EventLog, "standing">;
  #asked: Promise<boolean> | undefined;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #fullAtMs = Number.NEGATIVE_INFINITY;

  constructor(eventLog: Pick<EventLog, "standing">) {
    this.#eventLog = eventLog;
  }

  /** Whether there is room for one more member. Throws LogUnavailableError. */
  async hasRoom(): Promise<boolean> {
    const nowMs = performance.now();
    if (nowMs - this.#fullAtMs < FULL_FOR_MS) return false;
    if (this.#asked === undefined || nowMs - this.#askedAtMs >= KNOWN_FOR_MS) {
      this.#askedAtMs = nowMs;
      this.#asked = this.#ask();
    }
    try {
      return await this.#asked;
    } catch (error) {
      if (error instanceof LogUnavailableError) this.#asked = undefined;
      throw error;
    }
  }

  /** The log has refused something for want of room. */
  noteFull(): void {
    this.#fullAtMs = performance.now();
  }

  async #ask(): Promise<boolean> {
    const standings = await Promise.all(
      [STREAMS.members, STREAMS.keys].map((stream) => this.#eventLog.standing(stream)),
    );
    return standings.every(({ bytes, maxBytes }) => {
      if (maxBytes === undefined) return true;
      return maxBytes - bytes > Math.min(RESERVE_BYTES, maxBytes * RESERVE_PART);
    });
  }
}
