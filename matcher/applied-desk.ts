// Answers "has this partition durably applied the log up to here?": at once, or when it has, or that it has not.
//
// Invariants:
// - APPLIED is said only when the view has flushed that sequence and the index has it too;
// - with an erased member named, APPLIED also means that no template of that member is left in the index and no key in
//   memory: a worker that started between the erasure's event and the end of the key has loaded it once more;
// - every question is answered once, at the latest when its time is up; waiting questions of a thread are bounded;
//   bytes that are no question get NOT_YET.
import { bus, decode, encode } from "../wire/codec.js";
import { toHex } from "../wire/partition.js";

/** Questions that one thread lets wait; more are answered NOT_YET at once. */
export const MAX_WAITING_APPLIED = 1024;
const MAX_WAIT_MS = 30_000;

export interface AppliedSource {
  /** Flushed, and in the index. */
  readonly appliedSequence: number;
  /** The disk refuses writes now. */
  readonly storeFull: boolean;
  holds(member: string): boolean;
  /** Overwrites the member's data key, should it be in memory still. */
  forgetKey(member: string): void;
}

/** Shared by all partitions of a thread. */
export interface WaitingCount {
  waiting: number;
}

type StatusName = Exclude<keyof typeof bus.AppliedStatus, "APPLIED_STATUS_UNSPECIFIED">;

interface Question {
  sequence: number;
  erasedMember: string | undefined;
  timer: NodeJS.Timeout;
  respond: (reply: Uint8Array) => void;
}

export class AppliedDesk {
  readonly #source: AppliedSource;
  readonly #workerId: string;
  readonly #count: WaitingCount;
  readonly #waiting = new Set<Question>();

  constructor(source: AppliedSource, workerId: string, count: WaitingCount) {
    this.#source = source;
    this.#workerId = workerId;
    this.#count = count;
  }

  ask(body: Uint8Array, respond: (reply: Uint8Array) => void): void {
    const request = decode(bus.AppliedRequest, body);
    const sequence = request?.streamSequence ?? Number.POSITIVE_INFINITY;
    const erasedMember = request?.erasedMemberId.length ? toHex(request.erasedMemberId) : undefined;
    const waitMs = Math.min(request?.waitMs ?? 0, MAX_WAIT_MS);
    const now = this.#statusOf(sequence, erasedMember);
    if (now !== "NOT_YET" || waitMs === 0 || this.#count.waiting >= MAX_WAITING_APPLIED) {
      this.#say(now, respond);
      return;
    }
    const timer = setTimeout(() => this.#settle(question, "NOT_YET"), waitMs);
    const question: Question = { sequence, erasedMember, timer, respond };
    this.#waiting.add(question);
    this.#count.waiting += 1;
  }

  /** To be called whenever the source moved on or its disk filled up. */
  changed(): void {
    for (const question of this.#waiting) {
      const status = this.#statusOf(question.sequence, question.erasedMember);
      if (status !== "NOT_YET") this.#settle(question, status);
    }
  }

  /** Answers all that wait: this worker will not see the day. */
  close(): void {
    for (const question of this.#waiting) this.#settle(question, "NOT_YET");
  }

  #statusOf(sequence: number, erasedMember: string | undefined): StatusName {
    if (this.#source.appliedSequence < sequence) return this.#source.storeFull ? "STORE_FULL" : "NOT_YET";
    if (erasedMember === undefined) return "APPLIED";
    if (this.#source.holds(erasedMember)) return "STILL_PRESENT";
    this.#source.forgetKey(erasedMember);
    return "APPLIED";
  }

  #settle(question: Question, status: StatusName): void {
    clearTimeout(question.timer);
    if (this.#waiting.delete(question)) this.#count.waiting -= 1;
    this.#say(status, question.respond);
  }

  #say(status: StatusName, respond: (reply: Uint8Array) => void): void {
    respond(
      encode(bus.AppliedReply, {
        workerId: this.#workerId,
        status: bus.AppliedStatus[status],
        appliedSequence: this.#source.appliedSequence,
      }),
    );
  }
}
