// The passages of a lane, from the gate's move until a gateway says that they are on record.
//
// Invariants:
// - before the relay moves the store holds OPENING, and STARTED as it moves; an end is in the store before it is reported;
// - what an earlier run left is reported as what is known of it: STARTED and later as OPENED, because the relay was told
//   to open; OPENING as FAILED, because it was not;
// - an end is reported at once, again on every new connection, and in growing pauses, at whichever gateway, until one
//   acknowledges it or knows the token for false;
// - at most MAX_WAITING ends wait; when there are more, the oldest is given up, counted and logged: its payment was
//   settled by the site's rule long before;
// - a store that fails or hangs holds nobody up for longer than STORE_WAIT_MS and stops no entry, and no report. But a
//   passage that nobody records is money: without a store that takes it, a paid passage opens only when all earlier ones
//   are acknowledged, so that a crash can lose the record of one, and of no more.
import { edge } from "../wire/edge-codec.js";
import { fromHex, toHex } from "../wire/hex.js";
import { type BackoffBounds, backoffMs } from "./backoff.js";
import { laneNowMs } from "./clock.js";
import type { AgentLog } from "./host.js";
import type { PassageStep, PassageStore, Stored, StoredPassage } from "./passage-store.js";

/** What a lane passes in hours, and few enough to be sent in minutes. */
const MAX_WAITING = 4096;
/** Reports on their way on one connection. */
const MAX_UNDER_WAY = 32;
const STORE_WAIT_MS = 500;

export interface PassageCounters {
  /** Reports by what became of them. */
  report(result: "sent" | "acknowledged" | "refused" | "given_up"): void;
  /** Ends that no gateway has acknowledged yet. */
  passagesWaiting(count: number): void;
  /** Whether the store took the last passage. */
  journal(works: boolean): void;
}

/** Of connection.ts. @returns false when the connection is gone */
export interface Reporter {
  sendReport(report: edge.GateReport.$Properties): boolean;
}

/** Of a granted Decision. */
export interface PassageOf {
  presentationId: Uint8Array;
  passageToken: Uint8Array;
}

type Waiting = Omit<StoredPassage, "step"> & { passage: edge.Passage };

export interface PassagesOptions {
  store: PassageStore;
  /** Before a report is repeated on the same connection. */
  pauses: BackoffBounds;
  log: AgentLog;
  counters: PassageCounters | undefined;
}

export class Passages {
  readonly #options: PassagesOptions;
  /** By presentation. Those at the front were not reported for the longest. */
  readonly #waiting = new Map<string, Waiting>();
  readonly #underWay = new Set<string>();
  #reporter: Reporter | undefined;
  #repeats = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #storeWorks = true;
  #onDrained: () => void = () => {};

  constructor(options: PassagesOptions) {
    this.#options = options;
    const { left } = options.store;
    for (const passage of left) this.#waiting.set(passage.presentation, knownOf(passage));
    if (left.length > 0)
      options.log.warn({ passages: left.length }, "passages of an earlier run are reported");
    this.#boundWaiting();
  }

  /** Those of earlier runs, none of which may open a gate again. */
  left(): PassageOf[] {
    return this.#options.store.left.map(({ presentation, token }) => ({
      presentationId: fromHex(presentation),
      passageToken: fromHex(token),
    }));
  }

  /** The gate is about to open. @returns whether it may, as far as the record goes */
  async opening(of: PassageOf, isPaid: boolean): Promise<boolean> {
    const isSafe = await this.#put(of, "OPENING");
    return isSafe || !isPaid || this.#waiting.size === 0;
  }

  /** The relay moves in this very turn. */
  started(of: PassageOf): void {
    void this.#put(of, "STARTED");
  }

  /** What the gate did. Resolves once it is stored, as far as that is possible, and reported. */
  async ended(of: PassageOf, passage: edge.Passage): Promise<void> {
    await this.#put(of, stepOf(passage));
    const presentation = toHex(of.presentationId);
    const waiting = { presentation, token: toHex(of.passageToken), passage, atUnixMs: wholeNowMs() };
    this.#waiting.set(presentation, waiting);
    this.#boundWaiting();
    this.#report(waiting);
    this.#expectAcks();
  }

  /** A connection is open: all that waits is reported on it. */
  linked(reporter: Reporter): void {
    this.#reporter = reporter;
    this.#repeats = 0;
    this.#underWay.clear();
    this.#reportNext();
  }

  unlinked(): void {
    this.#reporter = undefined;
    this.#underWay.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#onDrained();
  }

  acknowledged(presentationId: Uint8Array): void {
    if (this.#settle(toHex(presentationId))) this.#options.counters?.report("acknowledged");
  }

  /** The token is false, says a gateway: no other one of the fleet says otherwise. */
  refused(presentationId: Uint8Array): void {
    const presentation = toHex(presentationId);
    if (!this.#settle(presentation)) return;
    this.#options.counters?.report("refused");
    this.#options.log.error(
      { presentation },
      "a passage was refused: its token is of another device or of another fleet; it is not reported again",
    );
  }

  /** Resolves when nothing waits, when there is no link to report on, or after `deadlineMs`. */
  drained(deadlineMs: number): Promise<void> {
    if (this.#waiting.size === 0 || !this.#reporter) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#onDrained(), deadlineMs);
      this.#onDrained = () => {
        clearTimeout(timer);
        this.#onDrained = () => {};
        resolve();
      };
    });
  }

  async close(): Promise<void> {
    this.unlinked();
    await this.#options.store.close();
  }

  #settle(presentation: string): boolean {
    if (!this.#waiting.delete(presentation)) return false;
    this.#options.store.remove(presentation);
    this.#options.counters?.passagesWaiting(this.#waiting.size);
    this.#underWay.delete(presentation);
    this.#repeats = 0;
    if (this.#underWay.size === 0) this.#reportNext();
    if (this.#waiting.size === 0) this.#onDrained();
    return true;
  }

  #reportNext(): void {
    for (const waiting of [...this.#waiting.values()]) {
      if (this.#underWay.size >= MAX_UNDER_WAY) break;
      if (!this.#underWay.has(waiting.presentation)) this.#report(waiting);
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#expectAcks();
  }

  #report({ presentation, token, passage, atUnixMs }: Waiting): void {
    const ids = { presentationId: fromHex(presentation), passageToken: fromHex(token) };
    if (!this.#reporter?.sendReport({ ...ids, passage, atUnixMs })) return;
    this.#underWay.add(presentation);
    this.#options.counters?.report("sent");
  }

  #expectAcks(): void {
    if (this.#timer !== undefined || this.#underWay.size === 0) return;
    const pauseMs = backoffMs(this.#repeats++, Math.random(), this.#options.pauses);
    this.#timer = setTimeout(() => this.#repeat(), pauseMs);
  }

  /** Those that were not acknowledged go behind the others, so that none of them can hold the others up. */
  #repeat(): void {
    for (const presentation of this.#underWay) {
      const waiting = this.#waiting.get(presentation);
      this.#waiting.delete(presentation);
      if (waiting) this.#waiting.set(presentation, waiting);
    }
    this.#underWay.clear();
    this.#reportNext();
  }

  #boundWaiting(): void {
    while (this.#waiting.size > MAX_WAITING) {
      const [first, ...others] = this.#waiting.values();
      if (!first) break;
      const oldest = others.reduce((a, b) => (b.atUnixMs < a.atUnixMs ? b : a), first);
      this.#waiting.delete(oldest.presentation);
      this.#underWay.delete(oldest.presentation);
      this.#options.store.remove(oldest.presentation);
      this.#options.counters?.report("given_up");
      const { presentation } = oldest;
      this.#options.log.error(
        { presentation },
        `more than ${MAX_WAITING} passages wait: the oldest is given up`,
      );
    }
    this.#options.counters?.passagesWaiting(this.#waiting.size);
  }

  /** @returns whether the store has it now */
  async #put(of: PassageOf, step: PassageStep): Promise<boolean> {
    const passage = {
      presentation: toHex(of.presentationId),
      token: toHex(of.passageToken),
      step,
      atUnixMs: wholeNowMs(),
    };
    const stored = await within(STORE_WAIT_MS, this.#options.store.put(passage));
    this.#options.counters?.journal(stored.ok);
    if (stored.ok !== this.#storeWorks) this.#sayStore(stored);
    this.#storeWorks = stored.ok;
    return stored.ok;
  }

  #sayStore(stored: Stored): void {
    const { log } = this.#options;
    if (stored.ok) log.warn({}, "the journal of passages takes them again");
    else log.error({ why: stored.why }, "the journal of passages does not take them: a crash now loses them");
  }
}

const wholeNowMs = (): number => Math.floor(laneNowMs());

function stepOf(passage: edge.Passage): PassageStep {
  if (passage === edge.Passage.OPENED) return "OPENED";
  return passage === edge.Passage.EXPIRED ? "EXPIRED" : "FAILED";
}

/** What may be said of a passage of which an earlier run wrote this step last. */
function knownOf({ step, ...rest }: StoredPassage): Waiting {
  if (step === "STARTED" || step === "OPENED") return { ...rest, passage: edge.Passage.OPENED };
  return { ...rest, passage: step === "EXPIRED" ? edge.Passage.EXPIRED : edge.Passage.FAILED };
}

async function within(deadlineMs: number, storing: Promise<Stored>): Promise<Stored> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<Stored>((resolve) => {
    timer = setTimeout(() => resolve({ ok: false, why: `not stored within ${deadlineMs} ms` }), deadlineMs);
  });
  const stored = await Promise.race([storing, late]);
  clearTimeout(timer);
  return stored;
}
