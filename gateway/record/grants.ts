// Grants: what lets somebody in is in the log before it is answered, and once for each presentation, whichever gateway
// it comes to.
//
// Invariants:
// - GRANTED is said only when the log has acknowledged the grant as the presentation's newest decision;
// - a presentation that was granted is granted again only to the same person, within REGRANT_MS and while no passage is
//   on record, with the same token; that stands on top of the first, so that of two gateways one is heard;
// - one that was refused is granted after all only where no money is held: a refusal on record has money let go;
// - record() ends within its time. What may have been stored by then, and was not answered, is taken back.
import { LogUnavailableError } from "../../records/event.js";
import type { EventLog } from "../../records/log.js";
import { bus, decode, encode } from "../../wire/codec.js";
import { toHex } from "../../wire/hex.js";
import type { Keyring } from "../../wire/keyring.js";
import { passageToken } from "../../wire/passage-token.js";
import { decisionSubject, passageSubject, STREAMS } from "../../wire/subjects.js";
import type { Passages } from "./passages.js";
import type { Recorder } from "./recorder.js";

/** A lane that lost its link before it heard of its grant comes back within this. */
const REGRANT_MS = 30_000;
/** Others wrote between our read and our append: read again, at most so often. */
const MAX_READS = 3;

export type GrantAnswer =
  /** `again`: what was granted before, with the token of then. */
  | { kind: "GRANTED"; token: Uint8Array; again: boolean }
  /** The presentation has had its end: granted to somebody else, too long ago, or passed already. */
  | { kind: "CLOSED" }
  | { kind: "UNAVAILABLE" };

export interface GrantsParts {
  eventLog: Pick<EventLog, "append" | "last">;
  recorder: Pick<Recorder, "add">;
  passages: Pick<Passages, "expect">;
  keyring: Pick<Keyring, "busKey">;
  gatewayId: string;
  /** The log's clock. */
  nowUnixMs(): number;
}

/** A granted decision, but for its time and author. */
export type Grant = Omit<bus.DecisionEvent.$Properties, "atUnixMs" | "gatewayId" | "granted"> & {
  organisation: string;
  site: string;
  deviceId: string;
  presentationId: Uint8Array;
  booksRef: Uint8Array;
};

export interface GrantOptions {
  withinMs: number;
  /** Money is held for it. */
  money: boolean;
  /** What is to stand in the log when it is not answered. */
  refusal(): Uint8Array;
}

export class Grants {
  readonly #parts: GrantsParts;

  constructor(parts: GrantsParts) {
    this.#parts = parts;
  }

  /** Never rejects for an expected failure. */
  async record(grant: Grant, { withinMs, money, refusal }: GrantOptions): Promise<GrantAnswer> {
    const { gatewayId, recorder, passages, nowUnixMs } = this.#parts;
    const event = bus.DecisionEvent.create({ ...grant, atUnixMs: nowUnixMs(), gatewayId, granted: true });
    const attempt = new Attempt(this.#parts, event, money);
    const recorded = await attempt.within(withinMs);
    if (recorded === "UNAVAILABLE") {
      const takesBack = { atUnixMs: attempt.atUnixMs, gatewayId };
      recorder.add({ subject: attempt.subject, body: refusal(), takesBack });
    }
    if (typeof recorded === "string") return { kind: recorded };
    const { site, deviceId, booksRef, presentationId } = recorded;
    passages.expect(deviceId, toHex(presentationId), { site, booksRef });
    return { kind: "GRANTED", token: this.#tokenOf(recorded), again: recorded !== event };
  }

  #tokenOf({ organisation, deviceId, presentationId, atUnixMs }: bus.DecisionEvent): Uint8Array {
    const key = this.#parts.keyring.busKey("passage", organisation);
    return passageToken(key, { organisation, deviceId, presentationId, atUnixMs });
  }
}

/** The grant as it stands in the log now. */
type Recorded = bus.DecisionEvent | "CLOSED" | "UNAVAILABLE";

/** One try to bring a grant into the log. */
class Attempt {
  readonly subject: string;
  readonly #parts: GrantsParts;
  readonly #event: bus.DecisionEvent;
  readonly #money: boolean;
  readonly #passages: string;
  /** Of the grant that was sent to the log last. */
  atUnixMs: number;
  #over = false;

  constructor(parts: GrantsParts, event: bus.DecisionEvent, money: boolean) {
    const { organisation, site, deviceId, presentationId } = event;
    const presentationHex = toHex(presentationId);
    this.#parts = parts;
    this.#event = event;
    this.#money = money;
    this.atUnixMs = event.atUnixMs;
    this.subject = decisionSubject(organisation, site, deviceId, presentationHex);
    this.#passages = passageSubject(organisation, site, deviceId, presentationHex);
  }

  async within(limitMs: number): Promise<Recorded> {
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<Recorded>((resolve) => {
      timer = setTimeout(
        () => {
          this.#over = true;
          resolve("UNAVAILABLE");
        },
        Math.max(0, limitMs),
      );
    });
    const recorded = await Promise.race([this.#run(), tooLate]);
    clearTimeout(timer);
    return recorded;
  }

  async #run(): Promise<Recorded> {
    try {
      return await this.#append(this.#event, 0, 0);
    } catch (error) {
      if (error instanceof LogUnavailableError) return "UNAVAILABLE";
      throw error;
    }
  }

  async #append(event: bus.DecisionEvent, expectedSubjectSequence: number, reads: number): Promise<Recorded> {
    this.atUnixMs = event.atUnixMs;
    const body = encode(bus.DecisionEvent, event);
    const appended = await this.#parts.eventLog.append(this.subject, body, { expectedSubjectSequence });
    if (appended.ok) return event;
    if (appended.code !== "CONFLICT" || this.#over || reads >= MAX_READS) return "UNAVAILABLE";
    return this.#onTop(reads + 1);
  }

  /** There is a decision of this presentation: from another link, or of our own append whose answer was lost. */
  async #onTop(reads: number): Promise<Recorded> {
    const last = await this.#parts.eventLog.last(STREAMS.decisions, this.subject);
    const decided = last && decode(bus.DecisionEvent, last.body);
    if (last === undefined || decided === undefined) return "UNAVAILABLE";
    if (!decided.granted) {
      return this.#money ? "CLOSED" : this.#append(this.#event, last.sequence, reads);
    }
    const isSame = toHex(decided.booksRef) === toHex(this.#event.booksRef);
    const ageMs = this.#parts.nowUnixMs() - decided.atUnixMs;
    if (!isSame || ageMs > REGRANT_MS) return "CLOSED";
    const passed = await this.#parts.eventLog.last(STREAMS.decisions, this.#passages);
    if (passed !== undefined) return "CLOSED";
    const { gatewayId } = this.#parts;
    return this.#append(bus.DecisionEvent.create({ ...decided, gatewayId }), last.sequence, reads);
  }
}
