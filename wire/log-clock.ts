// The log's clock: what the newest beat said, and what this machine's monotonic clock has counted since. What two
// processes must agree on (ages, deadlines, who came first) goes by it; no wall clock of theirs does.
//
// Invariants:
// - from the first beat on it never runs backwards, whatever the beats or the machine's wall clock say;
// - a beat that comes late cannot set it back: each beat pulls it back by MAX_PULL_BACK_MS at most, so that a process
//   that was stopped, and hears all the old beats at once when it goes on, knows that they are old;
// - a beat that says an earlier time than one before it is not heard: it comes from a ledger that has been overtaken;
// - until the first beat it tells the machine's own time, and says so (`heard()`);
// - a machine's monotonic clock may stand still while the machine sleeps. Its links do not outlive that: what was heard
//   before the link was lost says nothing of now (`freshFromUnixMs()`).
import type { NatsConnection } from "@nats-io/transport-node";
import { type Beat, readBeat } from "./beat.js";
import type { Keyring } from "./keyring.js";
import { watchLink } from "./link.js";
import { BEAT_SUBJECT } from "./subjects.js";

/** The machine's own clocks, or a test's. */
export interface OwnClocks {
  wallUnixMs(): number;
  monotonicMs(): number;
}

/** So much slower than a machine's clock, per beat, may the log's run. */
const MAX_PULL_BACK_MS = 1;

const OWN: OwnClocks = { wallUnixMs: () => Date.now(), monotonicMs: () => performance.now() };

export class LogClock {
  readonly #own: OwnClocks;
  readonly #listeners = new Set<(beat: Beat) => void>();
  #last: Beat | undefined;
  /** What the log's clock is ahead of our monotonic one. */
  #offsetMs = Number.NEGATIVE_INFINITY;
  #toldUnixMs = 0;
  #freshFromUnixMs = Number.POSITIVE_INFINITY;
  #unsubscribe: () => void = () => {};

  constructor(own: OwnClocks = OWN) {
    this.#own = own;
  }

  /** A clock that listens to the beats as they are published. */
  static follow(nc: NatsConnection, keyring: Pick<Keyring, "busKey">, own: OwnClocks = OWN): LogClock {
    const clock = new LogClock(own);
    const subscription = nc.subscribe(BEAT_SUBJECT, {
      callback: (error, message) => {
        const beat = error === null ? readBeat(keyring, message.data) : undefined;
        if (beat !== undefined) clock.hear(beat);
      },
    });
    const unwatch = watchLink(nc, { lost: () => clock.linkLost(), back: () => {} });
    clock.#unsubscribe = () => {
      unwatch();
      if (!subscription.isClosed()) subscription.unsubscribe();
    };
    return clock;
  }

  /** Takes a beat that was read elsewhere, e.g. from the log. */
  hear(beat: Beat): void {
    if (this.#last !== undefined && beat.atUnixMs < this.#last.atUnixMs) return;
    this.#last = beat;
    this.#freshFromUnixMs = Math.min(this.#freshFromUnixMs, beat.atUnixMs);
    const offsetMs = beat.atUnixMs - this.#own.monotonicMs();
    this.#offsetMs = Math.max(offsetMs, this.#offsetMs - MAX_PULL_BACK_MS);
    for (const listener of this.#listeners) listener(beat);
  }

  /** From now on nothing is fresh, until a beat is heard. */
  linkLost(): void {
    this.#freshFromUnixMs = Number.POSITIVE_INFINITY;
  }

  /** What the first beat said that was heard since the link is up; infinite before it. */
  freshFromUnixMs(): number {
    return this.#freshFromUnixMs;
  }

  /** Whether the time told is the log's. */
  heard(): boolean {
    return this.#last !== undefined;
  }

  nowUnixMs(): number {
    if (this.#last === undefined) return this.#own.wallUnixMs();
    this.#toldUnixMs = Math.max(this.#toldUnixMs, Math.floor(this.#offsetMs + this.#own.monotonicMs()));
    return this.#toldUnixMs;
  }

  /** How long ago, by this clock, the newest beat was written; infinite before the first. */
  beatAgeMs(): number {
    return this.#last === undefined ? Number.POSITIVE_INFINITY : this.nowUnixMs() - this.#last.atUnixMs;
  }

  /** Who wrote the newest beat. */
  leader(): string | undefined {
    return this.#last?.ledgerId;
  }

  /** @returns ends it */
  onBeat(listener: (beat: Beat) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  stop(): void {
    this.#unsubscribe();
    this.#listeners.clear();
  }
}
