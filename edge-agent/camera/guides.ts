// What the lane tells the person, kept calm: a reason is said when it has held for HOLDS_MS, not more than one every
// GAP_MS, the same one again only after REPEAT_MS. Pure but for what was said last.
import type { Guidance } from "../../palm/hand/judge.js";

/** A hand on its way in is for a moment too far and half outside: nothing to talk about. */
const HOLDS_MS = 200;
const GAP_MS = 500;
const REPEAT_MS = 3000;

export class Guides {
  readonly #say: (reason: Guidance) => void;
  #wanted: { reason: Guidance; sinceMs: number } | undefined;
  #said: { reason: Guidance; atMs: number } | undefined;

  constructor(say: (reason: Guidance) => void) {
    this.#say = say;
  }

  /** What the newest look asks for; `undefined`: nothing, all is well. */
  want(reason: Guidance | undefined, nowMs: number): void {
    if (reason === undefined) {
      this.#wanted = undefined;
      return;
    }
    if (this.#wanted?.reason !== reason) this.#wanted = { reason, sinceMs: nowMs };
    if (nowMs - this.#wanted.sinceMs < HOLDS_MS) return;
    const said = this.#said;
    if (said && nowMs - said.atMs < (said.reason === reason ? REPEAT_MS : GAP_MS)) return;
    this.#said = { reason, atMs: nowMs };
    this.#say(reason);
  }

  /** Nobody is there any more: the display may rest, and the next person is told anew. */
  left(nowMs: number): void {
    const wasTold = this.#said !== undefined && this.#said.reason !== "NO_HAND";
    this.#wanted = undefined;
    this.#said = undefined;
    if (!wasTold) return;
    this.#said = { reason: "NO_HAND", atMs: nowMs };
    this.#say("NO_HAND");
  }
}
