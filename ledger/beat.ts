// The beat, written once a second by one of the ledgers: the log's clock, and a hint who leads.
//
// Invariants:
// - a beat is appended on top of the one before it, so that of two authors one is told CONFLICT and stands back; nothing
//   else makes it stand back but time: where the log is full it lets go of the old beats, and beats on;
// - the log's clock never runs backwards from one beat to the next, and a step of an author's wall clock, or another
//   author with another wall clock, does not make it leap: it goes on from the last beat by the monotonic clock, and
//   leans towards the wall clock a little (MAX_LEAN). It is set by a wall clock only when no ledger was there to hear
//   the last beat, and then only by one that is right: who is MAX_WRONG_MS off nats-server's own clock does not lead;
// - leads() is false as soon as this process cannot have beaten lately, by its own monotonic clock: one that was paused
//   and wakes up late does not lead until it has beaten again;
// - one that does not get on with its work leaves the lead to another one that does, and takes it only when nobody has
//   beaten for RELUCTANT_FOR_MS;
// - when the author falls silent another one beats within TAKE_OVER_AFTER_MS and a check interval, at once when the
//   author says goodbye.
import { setInterval } from "node:timers";
import { type EventLog, LogUnavailableError } from "../records/index.js";
import { encodeBeat, readBeat } from "../wire/beat.js";
import type { Keyring } from "../wire/keyring.js";
import type { Log } from "../wire/log.js";
import type { LogClock } from "../wire/log-clock.js";
import { BEAT_SUBJECT, STREAMS } from "../wire/subjects.js";

export const BEAT_INTERVAL_MS = 1000;
const TAKE_OVER_AFTER_MS = 2500;
const CHECK_INTERVAL_MS = 250;
const RELUCTANT_FOR_MS = 10_000;
/** After this long without a beat of ours that the log has acknowledged we do not lead. */
const LEAD_FOR_MS = 2000;
/** Old beats leave the log; one is enough. */
const BEAT_TTL_MS = 60 * 60 * 1000;
/** Of the time since the last beat: so much faster or slower than its author's monotonic clock the log's may run. */
const MAX_LEAN_FORWARD = 0.05;
/** Slower than what LogClock takes for a late beat. */
const MAX_LEAN_BACK = 0.0005;
/** So far off nats-server's clock may the wall clock be that sets the log's. */
const MAX_WRONG_MS = 60_000;
/** In a beat: nobody leads, its author has left. */
const NOBODY = "";

export interface BeatClocks {
  wallUnixMs(): number;
  monotonicMs(): number;
}

export interface BeatOptions {
  eventLog: Pick<EventLog, "append" | "last" | "standing" | "drop">;
  keyring: Pick<Keyring, "busKey">;
  /** Hears the beats of all. */
  clock: LogClock;
  /** Of this life of the process. */
  ledgerId: string;
  log: Log;
  /** Not while another one would do better. */
  mayLead(): boolean;
  onLead(): void;
  /** The log has refused a beat for want of room. */
  onFull(): void;
  clocks?: BeatClocks;
}

interface Known {
  /** Of the last beat, in MEMBERS; 0: there is none. */
  sequence: number;
  atUnixMs: number;
  author: string;
  /** When we first knew of it. */
  seenAtMs: number;
}

const OWN_CLOCKS: BeatClocks = { wallUnixMs: () => Date.now(), monotonicMs: () => performance.now() };

export class Beats {
  readonly #options: BeatOptions;
  readonly #clocks: BeatClocks;
  readonly #timer: NodeJS.Timeout;
  #known: Known | undefined;
  #beatenAtMs = Number.NEGATIVE_INFINITY;
  #leads = false;
  #busy: Promise<void> | undefined;
  #closed = false;
  #wrongClock = "";

  constructor(options: BeatOptions) {
    this.#options = options;
    this.#clocks = options.clocks ?? OWN_CLOCKS;
    this.#timer = setInterval(() => this.#check(), CHECK_INTERVAL_MS);
    // Not before whoever makes it is whole: mayLead() looks at its other parts.
    queueMicrotask(() => this.#check());
  }

  leads(): boolean {
    return this.#leads && this.#clocks.monotonicMs() - this.#beatenAtMs < LEAD_FOR_MS;
  }

  /** Why it cannot lead, in one line; "": it can. */
  hindrance(): string {
    return this.#wrongClock;
  }

  /** Says goodbye when it leads, so that another one takes over at once. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#busy;
    const known = this.leads() ? this.#known : undefined;
    this.#leads = false;
    try {
      if (known !== undefined) await this.#append(known, NOBODY);
    } catch (error) {
      // Unheard: another one takes over a little later.
      if (!(error instanceof LogUnavailableError)) throw error;
    }
  }

  #check(): void {
    if (this.#busy !== undefined || this.#closed) return;
    this.#busy = this.#beatIfDue()
      .catch((error: unknown) => {
        if (error instanceof LogUnavailableError) return; // said by the connection; asked again at the next check
        this.#options.log.error({ error: String(error) }, "the beat failed");
      })
      .finally(() => {
        this.#busy = undefined;
      });
  }

  async #beatIfDue(): Promise<void> {
    const { clock, ledgerId, mayLead } = this.#options;
    const sinceOwnMs = this.#clocks.monotonicMs() - this.#beatenAtMs;
    // Awake after a pause: others have gone on. What we would append would be refused, and heard all the same.
    if (this.#leads && sinceOwnMs >= LEAD_FOR_MS) this.#standBack();
    if (!mayLead()) {
      if (this.#leads && this.#known !== undefined) await this.#append(this.#known, NOBODY);
      this.#standBack();
      if (clock.beatAgeMs() < RELUCTANT_FOR_MS) return;
    }
    if (this.#leads && this.#known !== undefined) {
      if (sinceOwnMs >= BEAT_INTERVAL_MS) await this.#append(this.#known, ledgerId);
      return;
    }
    // Beats that are heard are the quick way to know that somebody lives; the log is the sure one.
    const isFree = (author: string | undefined) => author === NOBODY || author === ledgerId;
    if (clock.beatAgeMs() < TAKE_OVER_AFTER_MS && !isFree(clock.leader())) return;
    const last = await this.#lastInLog();
    if (!isFree(last.author) && this.#clocks.monotonicMs() - last.seenAtMs < TAKE_OVER_AFTER_MS) return;
    await this.#append(last, ledgerId);
  }

  /** @returns the log's last beat, and since when we know it */
  async #lastInLog(): Promise<Known> {
    const { eventLog, keyring, clock } = this.#options;
    const event = await eventLog.last(STREAMS.members, BEAT_SUBJECT);
    const sequence = event?.sequence ?? 0;
    if (this.#known?.sequence === sequence) return this.#known;
    const beat = event && readBeat(keyring, event.body);
    const atUnixMs = beat?.atUnixMs ?? 0;
    // One that was heard when it was written is as old as that; of any other nobody knows.
    const isHeard = clock.heard() && atUnixMs <= clock.nowUnixMs() - clock.beatAgeMs();
    const seenAtMs = this.#clocks.monotonicMs() - (isHeard ? clock.beatAgeMs() : 0);
    this.#known = { sequence, atUnixMs, author: beat?.ledgerId ?? NOBODY, seenAtMs };
    return this.#known;
  }

  async #append(before: Known, author: string): Promise<void> {
    const { eventLog, keyring, ledgerId, log } = this.#options;
    const { lastSequence: headSequence, serverUnixMs } = await eventLog.standing(STREAMS.members);
    if (!this.#mayTellTime(serverUnixMs)) return;
    const atUnixMs = this.#nextTime(before);
    const startedAtMs = this.#clocks.monotonicMs();
    const beat = { atUnixMs, ledgerId: author, headSequence };
    const appended = await eventLog.append(BEAT_SUBJECT, encodeBeat(keyring, beat), {
      expectedSubjectSequence: before.sequence,
      ttlMs: BEAT_TTL_MS,
    });
    if (!appended.ok) {
      // Another one was faster. Else nobody knows, and the next check's append will be told.
      if (appended.code === "CONFLICT") this.#standBack();
      if (appended.code === "STORE_FULL") {
        this.#options.onFull();
        await eventLog.drop(STREAMS.members, BEAT_SUBJECT, before.sequence);
      }
      return;
    }
    const { sequence } = appended;
    this.#known = { sequence, atUnixMs, author, seenAtMs: startedAtMs };
    this.#beatenAtMs = startedAtMs;
    if (this.#leads || author !== ledgerId) return;
    this.#leads = true;
    log.info({ beat: sequence }, "this ledger leads");
    this.#options.onLead();
  }

  /** From the first beat on that was heard the log's clock goes on by itself; before that our wall clock sets it. */
  #mayTellTime(serverUnixMs: number): boolean {
    const aheadMs = this.#clocks.wallUnixMs() - serverUnixMs;
    const isRight = this.#options.clock.heard() || Math.abs(aheadMs) <= MAX_WRONG_MS;
    const was = this.#wrongClock;
    this.#wrongClock = isRight
      ? ""
      : `its clock is ${Math.round(Math.abs(aheadMs) / 1000)} s ${aheadMs > 0 ? "ahead of" : "behind"} nats-server's`;
    if (!isRight && was === "") this.#options.log.error(`this ledger does not lead: ${this.#wrongClock}`);
    return isRight;
  }

  #nextTime(before: Known): number {
    const { clock } = this.#options;
    const wallUnixMs = this.#clocks.wallUnixMs();
    if (!clock.heard()) return Math.max(wallUnixMs, before.atUnixMs);
    const goesOn = clock.nowUnixMs();
    const sinceMs = clock.beatAgeMs();
    const least = goesOn - sinceMs * MAX_LEAN_BACK;
    const leaning = Math.min(Math.max(wallUnixMs, least), goesOn + sinceMs * MAX_LEAN_FORWARD);
    return Math.max(before.atUnixMs, Math.floor(leaning));
  }

  #standBack(): void {
    if (this.#leads) this.#options.log.warn("this ledger leads no more");
    this.#leads = false;
    this.#known = undefined;
  }
}
