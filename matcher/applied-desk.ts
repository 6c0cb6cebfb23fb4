// Answers "has this shard durably applied the log up to here?": at once, or when it has, or that it has not.
//
// Invariants:
// - APPLIED is said only when the view has flushed that sequence and the index has it too: not for a member who is set
//   aside;
// - with an erased member named, APPLIED also means that nothing of that member is left in index, line shelf or view, and
//   no key in memory: a worker that started between the erasure's event and the end of the key has loaded it once more;
// - every question is answered once, at the latest when its time is up; waiting questions of a thread are bounded;
//   bytes that are no question get NOT_YET.
import { bus, decode, encode } from "../wire/codec.js";
import { toHex } from "../wire/hex.js";
import type { Identity } from "./serving.js";

/** Questions that one thread lets wait; more are answered NOT_YET at once. */
export const MAX_WAITING_APPLIED = 1024;
const MAX_WAIT_MS = 30_000;

/** The shards of a thread, as far as this desk asks them. */
export interface AppliedSource {
  /** Flushed, and in the index. 0 for a shard that is not open. */
  appliedSequence(shard: number): number;
  /** Nobody who was enrolled by the event of this sequence is missing in the index. */
  isEntered(sequence: number): boolean;
  /** The disk refuses what the shard must write next. */
  storeFull(shard: number): boolean;
  /** In index, line shelf or view. */
  holds(member: string): boolean;
  /** Overwrites the member's data key, should it be in memory still. */
  forgetKey(member: string): void;
}

type StatusName = Exclude<keyof typeof bus.AppliedStatus, "APPLIED_STATUS_UNSPECIFIED">;

interface Question {
  shard: number;
  sequence: number;
  erasedMember: string | undefined;
  timer: NodeJS.Timeout;
  respond: (reply: Uint8Array) => void;
}

export class AppliedDesk {
  readonly #source: AppliedSource;
  readonly #identity: Identity;
  readonly #waiting = new Set<Question>();

  constructor(source: AppliedSource, identity: Identity) {
    this.#source = source;
    this.#identity = identity;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** @param shard that of the subject */
  ask(shard: number, body: Uint8Array, respond: (reply: Uint8Array) => void): void {
    const request = decode(bus.AppliedRequest, body);
    const sequence = request?.streamSequence ?? Number.POSITIVE_INFINITY;
    const erasedMember = request?.erasedMemberId.length ? toHex(request.erasedMemberId) : undefined;
    const waitMs = Math.min(request?.waitMs ?? 0, MAX_WAIT_MS);
    const now = this.#statusOf({ shard, sequence, erasedMember });
    if (now !== "NOT_YET" || waitMs === 0 || this.#waiting.size >= MAX_WAITING_APPLIED) {
      this.#say(now, shard, respond);
      return;
    }
    const timer = setTimeout(() => this.#settle(question, "NOT_YET"), waitMs);
    const question: Question = { shard, sequence, erasedMember, timer, respond };
    this.#waiting.add(question);
  }

  /** To be called whenever a shard moved on or its disk filled up. */
  changed(): void {
    for (const question of this.#waiting) {
      const status = this.#statusOf(question);
      if (status !== "NOT_YET") this.#settle(question, status);
    }
  }

  /** Answers all that wait: this worker will not see the day. */
  close(): void {
    for (const question of this.#waiting) this.#settle(question, "NOT_YET");
  }

  #statusOf(asked: Pick<Question, "shard" | "sequence" | "erasedMember">): StatusName {
    const { shard, sequence, erasedMember } = asked;
    const source = this.#source;
    if (source.appliedSequence(shard) < sequence) return source.storeFull(shard) ? "STORE_FULL" : "NOT_YET";
    if (erasedMember === undefined) return source.isEntered(sequence) ? "APPLIED" : "NOT_YET";
    if (source.holds(erasedMember)) return "STILL_PRESENT";
    source.forgetKey(erasedMember);
    return "APPLIED";
  }

  #settle(question: Question, status: StatusName): void {
    clearTimeout(question.timer);
    if (this.#waiting.delete(question)) this.#say(status, question.shard, question.respond);
  }

  #say(status: StatusName, shard: number, respond: (reply: Uint8Array) => void): void {
    const { workerId, instance } = this.#identity;
    const appliedSequence = this.#source.appliedSequence(shard);
    respond(
      encode(bus.AppliedReply, { workerId, instance, status: bus.AppliedStatus[status], appliedSequence }),
    );
  }
}
