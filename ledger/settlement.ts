// Which payment is settled when: the record's news in, attempts of settle.ts out.
//
// Invariants:
// - a passage, a refusal or an unknown step is acted on at once; everything else when its time has come;
// - a step's age is counted by this process's monotonic clock from when it heard of it; of a step that was there before,
//   the time until then is counted by the log's clock, and never below zero: no wall clock's step, of whichever machine,
//   settles a payment too early or leaves it for ever;
// - a payment that cannot be settled is tried again with growing pauses, is counted and shown, and delays no other.
import { isPaymentEnd, type PaymentPlace } from "../records/index.js";
import { bus, decode } from "../wire/codec.js";
import { toHex } from "../wire/hex.js";
import type { Log } from "../wire/log.js";
import type { ReportedPassage } from "./rows.js";
import { type SettleDeps, settle } from "./settle.js";
import { GIVE_UP_AFTER_MS } from "./settle-rule.js";
import { type Waiting, WorkList } from "./work-list.js";

const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 60_000;
const MAX_CONCURRENT_SETTLES = 16;
/** Longer than all ledgers are ever away. */
const RECENT_PASSAGE_MS = 7 * 24 * 60 * 60 * 1000;
const SWEEP_INTERVAL_MS = 5000;

const { PaymentStep } = bus;

export interface SettlementOptions {
  settle: Omit<SettleDeps, "ageMs">;
  active(): boolean;
  /** Open payments as the view has them, for what did not fit the list. */
  openPayments(): Iterable<Uint8Array>;
  /** Whether the lane takes money; undefined: nobody knows it. */
  isPayLane(deviceId: string): boolean | undefined;
  log: Log;
}

interface Seen {
  sequence: number;
  seenAtMs: number;
  ageThenMs: number;
}

const keyOf = ({ organisation, presentationHex }: PaymentPlace) => `${organisation}/${presentationHex}`;

export class Settlement {
  readonly #options: SettlementOptions;
  readonly #list: WorkList;
  readonly #open = new Map<string, Seen>();
  /** On the list for a passage, whatever the payment's step is: no more than the list takes. */
  readonly #reported = new Set<string>();
  readonly #sweeping: NodeJS.Timeout;

  constructor(options: SettlementOptions) {
    this.#options = options;
    const deps: SettleDeps = {
      ...options.settle,
      ageMs: (place, { sequence, event }) => this.#ageMs(keyOf(place), sequence, event.atUnixMs),
    };
    this.#list = new WorkList({
      attempt: async (key) => {
        const attempted = await settle(deps, placeOf(key));
        if (attempted.done) this.#reported.delete(key);
        return attempted;
      },
      active: options.active,
      what: "settlement",
      log: options.log,
      firstPauseMs: FIRST_PAUSE_MS,
      maxPauseMs: MAX_PAUSE_MS,
      maxRunning: MAX_CONCURRENT_SETTLES,
    });
    this.#sweeping = setInterval(() => this.sweep(), SWEEP_INTERVAL_MS);
  }

  /** A step of a payment is on record. @param live heard when it was written, not read later */
  takePayment(event: bus.PaymentEvent, sequence: number, live: boolean): void {
    const { organisation, site } = event;
    const key = keyOf({ organisation, presentationHex: toHex(event.presentationId) });
    if (isPaymentEnd(event.step)) {
      this.#open.delete(key);
      // At its end it is looked at once more only for a passage that was reported.
      if (!this.#reported.has(key)) this.#list.drop(key);
      return;
    }
    const ageThenMs = live ? 0 : Math.max(0, this.#options.settle.nowUnixMs() - event.atUnixMs);
    this.#open.set(key, { sequence, seenAtMs: performance.now(), ageThenMs });
    if (event.step === PaymentStep.UNKNOWN) return void this.#list.add(key);
    const { reportWithinMs } = this.#options.settle.ruleOf(organisation, site);
    this.#list.add(key, Math.max(0, Math.min(GIVE_UP_AFTER_MS, reportWithinMs) - ageThenMs));
  }

  takePassage({ organisation, deviceId, presentationHex, atUnixMs }: ReportedPassage): void {
    const key = keyOf({ organisation, presentationHex });
    // The payment's own events may come later than the passage's: whatever is a till's is looked up in the log. But not
    // what a ledger with an empty folder reads of long ago: that was looked up when it came.
    const isRecent = this.#options.settle.nowUnixMs() - atUnixMs < RECENT_PASSAGE_MS;
    const isTills = isRecent && this.#options.isPayLane(deviceId) === true;
    if (!this.#open.has(key) && !isTills) return;
    if (this.#list.add(key) && isRecent) this.#reported.add(key);
  }

  /** The lane was refused: what is held for it is let go at once. */
  takeRefusal(organisation: string, presentationHex: string): void {
    const key = keyOf({ organisation, presentationHex });
    if (this.#open.has(key)) this.#list.add(key);
  }

  /** Whoever may settle has changed, or what the log held has been read. */
  wake(): void {
    this.sweep();
    this.#list.wake();
  }

  open(): number {
    return this.#open.size;
  }

  /** Those whose time has come and that could not be settled yet. */
  overdue(): number {
    return this.#list.tried();
  }

  /** Since the payment that has waited longest beyond its time was first tried; 0 when none waits so. */
  oldestMs(): number {
    return this.#list.oldestTriedMs();
  }

  stuck(limit: number): Waiting[] {
    return this.#list.stuck(limit);
  }

  /** Open payments that the list does not have (it was full, or this process has just started) come onto it. */
  sweep(): void {
    for (const body of this.#options.openPayments()) {
      const event = decode(bus.PaymentEvent, body);
      if (event === undefined) continue;
      const key = keyOf({ organisation: event.organisation, presentationHex: toHex(event.presentationId) });
      if (!this.#open.has(key)) this.takePayment(event, 0, false);
      else if (!this.#list.has(key) && !this.#list.add(key)) return;
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeping);
    await this.#list.close();
  }

  #ageMs(key: string, sequence: number, atUnixMs: number): number {
    const seen = this.#open.get(key);
    // A step newer than what we were told of is young; of one found by a sweep the sequence was not known.
    if (seen === undefined) return Math.max(0, this.#options.settle.nowUnixMs() - atUnixMs);
    if (seen.sequence !== sequence && seen.sequence !== 0) return 0;
    return seen.ageThenMs + performance.now() - seen.seenAtMs;
  }
}

function placeOf(key: string): PaymentPlace {
  const [organisation = "", presentationHex = ""] = key.split("/");
  return { organisation, presentationHex };
}
