// Which gateway a lane tries next, and how long it waits before. Pure.
//
// Invariants:
// - a link that ends is followed by the next gateway at once; a wait comes only when all have failed in a row;
// - a connection that held for stableAfterMs makes a new start; a shorter one does not, so that gateways that welcome
//   and drop are not hammered;
// - the wait is the long one only when every gateway refused for a reason that a person must mend;
// - a lane that another one has pushed out (DUPLICATE_DEVICE) does not push back at the next gateway: it waits.
import { type BackoffBounds, backoffMs } from "./backoff.js";
import type { ConnectionEnd } from "./connection.js";

export interface TurnTimings {
  stableAfterMs: number;
  reconnect: BackoffBounds;
  refused: BackoffBounds;
}

export class Turns {
  readonly #gateways: number;
  readonly #timings: Readonly<TurnTimings>;
  #at = 0;
  /** Links that ended one after another without one that held; those of this round. */
  #failed = 0;
  #rounds = 0;
  #needPerson = true;

  /** @param gateways how many there are, at least one */
  constructor(gateways: number, timings: Readonly<TurnTimings>) {
    this.#gateways = gateways;
    this.#timings = timings;
  }

  /** Index of the gateway whose turn it is. */
  get at(): number {
    return this.#at;
  }

  /**
   * The link to the gateway whose turn it was has ended: the turn passes on.
   * @param heldMs how long the connection was open; 0: it never was
   * @param random uniform in [0, 1)
   * @returns how long to wait before the next try, milliseconds
   */
  ended(end: ConnectionEnd, heldMs: number, random: number): number {
    if (heldMs >= this.#timings.stableAfterMs) {
      this.#failed = 0;
      this.#rounds = 0;
      this.#needPerson = true;
    }
    this.#needPerson &&= whatToDo(end) !== undefined;
    this.#failed += 1;
    this.#at = (this.#at + 1) % this.#gateways;
    const isPushedOut = end.kind === "refused" && end.code === "DUPLICATE_DEVICE";
    if (this.#failed < this.#gateways && !isPushedOut) return 0;
    const bounds = this.#needPerson || isPushedOut ? this.#timings.refused : this.#timings.reconnect;
    this.#failed = 0;
    this.#needPerson = true;
    return backoffMs(this.#rounds++, random, bounds);
  }
}

/** What a person does about a refusal that no retry mends by itself; undefined: a retry is enough. */
export const whatToDo = (end: ConnectionEnd): string | undefined =>
  end.kind === "refused" ? WHAT_TO_DO[end.code] : undefined;

const WHAT_TO_DO: Readonly<Record<string, string>> = {
  VERSION_UNSUPPORTED: "Update this agent, or the gateway, until they share a protocol version.",
  UNAUTHENTICATED:
    "Register this device id with this key's public half (palmgate apply), or correct --device-id and --device-key.",
  DUPLICATE_DEVICE:
    "Another agent runs under this device id: stop one of them; if it is not yours, revoke the key.",
};
