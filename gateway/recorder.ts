// Brings decisions and passages into the event log, off the hot path.
//
// Invariants:
// - an event leaves the queue only when the log has stored it. Events of GATHER_MS go together: one write to the socket
//   for all of them costs a fraction of one each; an urgent one goes at once and takes along those that wait;
// - every event gets a message id of its own, so an append repeated after a lost answer is stored once, and a second
//   decision of one presentation (a payment asked for again, perhaps of another gateway) is not taken for the first;
// - the queue is bounded: while it is full the gateway takes no new presentation, so nothing is ever dropped.
import { randomUUID } from "node:crypto";
import type { EventLog } from "../records/index.js";
import type { Log } from "../wire/log.js";

const MAX_APPENDS_IN_FLIGHT = 64;
const GATHER_MS = 20;
const RETRY_MS = 250;
const FLUSH_DEADLINE_MS = 5000;

export interface RecordEvent {
  subject: string;
  body: Uint8Array;
}

interface Waiting extends RecordEvent {
  messageId: string;
  stored(): void;
}

export class Recorder {
  readonly #eventLog: Pick<EventLog, "append">;
  readonly #log: Log;
  readonly #maxEvents: number;
  readonly #name = randomUUID();
  #taken = 0;
  #waiting: Waiting[] = [];
  #inFlight = 0;
  /** Set while nothing is to be appended yet: events gather, or the log has refused and is left alone for a while. */
  #pause: NodeJS.Timeout | undefined;
  #onEmpty: (() => void) | undefined;
  #failing = false;
  #closed = false;

  constructor(eventLog: Pick<EventLog, "append">, log: Log, maxEvents: number) {
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

  /** Takes an event. Resolves when the log has stored it, however long that takes; never rejects. */
  add(event: RecordEvent, { urgent = false } = {}): Promise<void> {
    return new Promise((stored) => {
      this.#waiting.push({ ...event, messageId: `${this.#name}-${this.#taken++}`, stored });
      if (urgent && !this.#failing) {
        clearTimeout(this.#pause);
        this.#pause = undefined;
        this.#pump();
      } else {
        this.#pause ??= this.#pumpIn(GATHER_MS);
      }
    });
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

  async #append(event: Waiting): Promise<void> {
    const { subject, body, messageId } = event;
    const appended = await this.#eventLog.append(subject, body, { messageId });
    this.#inFlight -= 1;
    if (this.#closed) return;
    if (appended.ok) {
      if (this.#failing) this.#log.info({ unrecorded: this.unrecorded }, "the event log takes events again");
      this.#failing = false;
      event.stored();
    } else {
      if (!this.#failing)
        this.#log.warn({ code: appended.code }, "the event log takes no events; they wait here");
      this.#failing = true;
      this.#waiting.unshift(event);
      clearTimeout(this.#pause);
      this.#pause = this.#pumpIn(RETRY_MS);
    }
    this.#pump();
  }

  #pumpIn(pauseMs: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.#pause = undefined;
      this.#pump();
    }, pauseMs);
  }
}
