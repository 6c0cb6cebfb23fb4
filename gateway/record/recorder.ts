// Brings decisions that let nobody in into the event log, off the hot path. (Grants are there before they are answered:
// grants.ts.)
//
// Invariants:
// - an event leaves the queue only when the log has stored it, or has one of its presentation already. Events of
//   GATHER_MS go together: one write to the socket for all of them costs a fraction of one each;
// - it is stored with expected sequence 0: repeated after a lost answer it is there once, and it never comes on top of
//   what another gateway has granted the same presentation meanwhile;
// - a grant that was not answered is taken back: what is put on top of it says that nobody was let in. Not on top of
//   anything else;
// - the queue is bounded: while it is full the gateway takes no new presentation, so nothing is ever dropped.
import { LogUnavailableError } from "../../records/event.js";
import type { EventLog } from "../../records/log.js";
import { bus, decode } from "../../wire/codec.js";
import type { Log } from "../../wire/log.js";
import { STREAMS } from "../../wire/subjects.js";

const MAX_APPENDS_IN_FLIGHT = 64;
const GATHER_MS = 20;
const RETRY_MS = 250;
const FLUSH_DEADLINE_MS = 5000;

export interface RecordEvent {
  /** Of a presentation's decision. */
  subject: string;
  body: Uint8Array;
  /** Told apart by its time and author: a grant of ours that may stand in the log, and that nobody was told of. */
  takesBack?: { atUnixMs: number; gatewayId: string };
}

export class Recorder {
  readonly #eventLog: Pick<EventLog, "append" | "last">;
  readonly #log: Log;
  readonly #maxEvents: number;
  #waiting: RecordEvent[] = [];
  #inFlight = 0;
  /** Set while nothing is to be appended yet: events gather, or the log has refused and is left alone for a while. */
  #pause: NodeJS.Timeout | undefined;
  #onEmpty: (() => void) | undefined;
  #failing = false;
  #closed = false;

  constructor(eventLog: Pick<EventLog, "append" | "last">, log: Log, maxEvents: number) {
    this.#eventLog = eventLog;
    this.#log = log;
    this.#maxEvents = maxEvents;
  }

  /** Events not in the log yet. */
  get unrecorded(): number {
    return this.#waiting.length + this.#inFlight;
  }

  /** No new presentation may start: its decision would have no place. `reserved` are those under way. */
  full(reserved: number): boolean {
    return this.unrecorded + reserved >= this.#maxEvents;
  }

  /** Takes an event; it will be in the log, however long that takes. */
  add(event: RecordEvent): void {
    this.#waiting.push(event);
    this.#pause ??= this.#pumpIn(GATHER_MS);
  }

  /** Waits until everything is in the log, bounded. @returns events that are not */
  async flush(): Promise<number> {
    if (this.unrecorded > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, FLUSH_DEADLINE_MS);
        this.#onEmpty = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#onEmpty = undefined;
    }
    return this.unrecorded;
  }

  /** Flushes and stops for good. @returns events that the log has not taken */
  async close(): Promise<number> {
    const left = await this.flush();
    clearTimeout(this.#pause);
    this.#closed = true;
    return left;
  }

  #pump(): void {
    while (this.#pause === undefined && this.#inFlight < MAX_APPENDS_IN_FLIGHT) {
      const event = this.#waiting.shift();
      if (event === undefined) break;
      this.#inFlight += 1;
      void this.#append(event);
    }
    if (this.unrecorded === 0) this.#onEmpty?.();
  }

  async #append(event: RecordEvent): Promise<void> {
    const refusal = await this.#store(event);
    this.#inFlight -= 1;
    if (this.#closed) return;
    if (refusal === undefined) {
      if (this.#failing) this.#log.info({ unrecorded: this.unrecorded }, "the event log takes events again");
      this.#failing = false;
    } else {
      if (!this.#failing) this.#log.warn({ code: refusal }, "the event log takes no events; they wait here");
      this.#failing = true;
      this.#waiting.unshift(event);
      clearTimeout(this.#pause);
      this.#pause = this.#pumpIn(RETRY_MS);
    }
    this.#pump();
  }

  /** @returns why it is not stored; `undefined`: it is, or has no place there */
  async #store({ subject, body, takesBack }: RecordEvent): Promise<string | undefined> {
    const first = await this.#eventLog.append(subject, body, { expectedSubjectSequence: 0 });
    if (first.ok) return undefined;
    if (first.code !== "CONFLICT") return first.code;
    if (takesBack === undefined) return undefined;
    try {
      const last = await this.#eventLog.last(STREAMS.decisions, subject);
      const grant = last && decode(bus.DecisionEvent, last.body);
      const isOurs =
        grant?.granted && grant.atUnixMs === takesBack.atUnixMs && grant.gatewayId === takesBack.gatewayId;
      if (last === undefined || !isOurs) return undefined;
      const second = await this.#eventLog.append(subject, body, { expectedSubjectSequence: last.sequence });
      return second.ok || second.code === "CONFLICT" ? undefined : second.code;
    } catch (error) {
      if (error instanceof LogUnavailableError) return "LOG_UNAVAILABLE";
      throw error;
    }
  }

  #pumpIn(pauseMs: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.#pause = undefined;
      this.#pump();
    }, pauseMs);
  }
}
