// Passage tokens that are out: each opens one passage and is reported once.
//
// Invariants:
// - a token counts for the device and presentation it was made for, once, and not after REPORT_WINDOW_MS;
// - the memory is bounded; when it is full the oldest token is forgotten (its late report is then refused).
import { randomFillSync } from "node:crypto";
import { DECISION_VALID_MS, PASSAGE_TOKEN_BYTES } from "../../wire/limits.js";
import { toHex } from "../../wire/partition.js";

/** A report may come late (a slow relay, a link that was away), the passage itself may not: the agent sees to that. */
const REPORT_WINDOW_MS = DECISION_VALID_MS + 30_000;
const MAX_TOKENS = 16_384;
/** Randomness is fetched for so many tokens at once: asking the system for 16 bytes costs as much as for 4096. */
const TOKENS_PER_FILL = 256;

interface Passage {
  deviceId: string;
  presentationHex: string;
  endsAtMs: number;
}

export class Passages {
  readonly #tokens = new Map<string, Passage>();
  #random = new Uint8Array(0);

  /** Makes the token of one granted decision. */
  issue(deviceId: string, presentationHex: string): Uint8Array {
    this.#forgetOld();
    const token = this.#newToken();
    this.#tokens.set(toHex(token), {
      deviceId,
      presentationHex,
      endsAtMs: performance.now() + REPORT_WINDOW_MS,
    });
    return token;
  }

  /** Takes the token back. False: unknown, expired, reported before, or not this device's. */
  redeem(deviceId: string, presentationHex: string, token: Uint8Array): boolean {
    const hex = toHex(token);
    const passage = this.#tokens.get(hex);
    if (passage === undefined) return false;
    if (passage.deviceId !== deviceId || passage.presentationHex !== presentationHex) return false;
    this.#tokens.delete(hex);
    return performance.now() <= passage.endsAtMs;
  }

  get size(): number {
    return this.#tokens.size;
  }

  #newToken(): Uint8Array {
    if (this.#random.length === 0) {
      this.#random = randomFillSync(new Uint8Array(TOKENS_PER_FILL * PASSAGE_TOKEN_BYTES));
    }
    const token = this.#random.slice(0, PASSAGE_TOKEN_BYTES);
    this.#random = this.#random.subarray(PASSAGE_TOKEN_BYTES);
    return token;
  }

  #forgetOld(): void {
    const nowMs = performance.now();
    for (const [hex, passage] of this.#tokens) {
      if (passage.endsAtMs >= nowMs && this.#tokens.size < MAX_TOKENS) break;
      this.#tokens.delete(hex);
    }
  }
}
