// What the gateway says about one presentation on one connection, for the one who waits for it.
//
// Invariants:
// - replies come out in the order in which they came in; at most MAX_UNREAD_REPLIES wait, and Guides go first;
// - `next` always ends: with a reply, when the connection drops, or at the deadline;
// - one reader at a time.
import type { edge } from "../wire/edge-codec.js";
import type { LinkCode } from "../wire/errors.js";

const MAX_UNREAD_REPLIES = 8;

/** UNKNOWN: a code that this agent's protocol file does not have yet. */
export type ErrorName = LinkCode | "UNKNOWN";

export type Reply =
  | { kind: "guide"; guide: edge.Guide.$Properties }
  | { kind: "progress"; progress: edge.Progress.$Properties }
  | { kind: "decision"; decision: edge.Decision.$Properties }
  | { kind: "error"; presentationId: Uint8Array; code: ErrorName; message: string; retryAfterMs: number };

export type Event =
  | Reply
  /** A frame may be sent now. */
  | { kind: "credit" }
  /** The connection is gone. */
  | { kind: "dropped" }
  | { kind: "deadline" };

interface Reader {
  wantsCredit: boolean;
  answer(event: Event): void;
}

export class Conversation {
  readonly #presentationId: Uint8Array;
  readonly #hasCredit: () => boolean;
  #unread: Reply[] = [];
  #dropped = false;
  #reader: Reader | undefined;

  constructor(presentationId: Uint8Array, hasCredit: () => boolean) {
    this.#presentationId = presentationId;
    this.#hasCredit = hasCredit;
  }

  isAbout(presentationId: Uint8Array | null | undefined): boolean {
    const own = this.#presentationId;
    return presentationId?.length === own.length && presentationId.every((byte, i) => byte === own[i]);
  }

  deliver(reply: Reply): void {
    if (this.#unread.length >= MAX_UNREAD_REPLIES) {
      this.#unread = this.#unread.filter(({ kind }) => kind !== "guide").slice(0, MAX_UNREAD_REPLIES - 1);
    }
    this.#unread.push(reply);
    this.wake();
  }

  drop(): void {
    this.#dropped = true;
    this.wake();
  }

  /** Looks again whether the reader has something to read: called when a credit may have come. */
  wake(): void {
    const event = this.#reader && this.#ready(this.#reader.wantsCredit);
    if (event) this.#reader?.answer(event);
  }

  /**
   * The next thing that happens.
   * @param deadlineAtMs on the clock of performance.now()
   * @param wantsCredit also end when a frame may be sent
   */
  next(deadlineAtMs: number, wantsCredit: boolean): Promise<Event> {
    if (this.#reader) throw new Error("a conversation has one reader at a time");
    const ready = this.#ready(wantsCredit);
    if (ready) return Promise.resolve(ready);
    return new Promise((resolve) => {
      const answer = (event: Event) => {
        clearTimeout(timer);
        this.#reader = undefined;
        resolve(event);
      };
      const timer = setTimeout(
        () => answer({ kind: "deadline" }),
        Math.max(0, deadlineAtMs - performance.now()),
      );
      this.#reader = { wantsCredit, answer };
    });
  }

  #ready(wantsCredit: boolean): Event | undefined {
    const reply = this.#unread.shift();
    if (reply) return reply;
    if (this.#dropped) return { kind: "dropped" };
    return wantsCredit && this.#hasCredit() ? { kind: "credit" } : undefined;
  }
}
