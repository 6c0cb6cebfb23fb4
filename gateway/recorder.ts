// Brings decisions and passages into the event log, off the hot path.
//
// Invariants:
// - add() never waits; an event leaves the queue only when the log has stored it;
// - every event carries a message id, so an append repeated after a lost answer is stored once;
// - the queue is bounded: while it is full the gateway takes no new presentation, so nothing is ever dropped.
import type { EventLog } from "../records/index.js";
import type { Log } from "../wire/log.js";

const MAX_APPENDS_IN_FLIGHT = 8;
const RETRY_MS = 250;
const FLUSH_DEADLINE_MS = 5000;

export interface RecordEvent {
  subject: string;
  body: Uint8Array;
  messageId: string;
}

export class Recorder {
  readonly #eventLog: Pick<EventLog, "append">;
  readonly #log: Log;
  readonly #maxEvents: number;
  #waiting: RecordEvent[] = [];
  #inFlight = 0;
  #retryTimer: NodeJS.Timeout | undefined;
  #onEmpty: (() => void) | undefined;
  #failing = false;

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

  add(event: RecordEvent): void {
    this.#waiting.push(event);
    this.#pump();
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
    clearTimeout(this.#retryTimer);
    return this.unrecorded;
  }

  #pump(): void {
    while (this.#retryTimer === undefined && this.#inFlight < MAX_APPENDS_IN_FLIGHT) {
      const event = this.#waiting.shift();
      if (event === undefined) break;
      this.#inFlight += 1;
      void this.#append(event);
    }
    if (this.unrecorded === 0) this.#onEmpty?.();
  }

  async #append(event: RecordEvent): Promise<void> {
    const { subject, body, messageId } = event;
    const appended = await this.#eventLog.append(subject, body, { messageId });
    this.#inFlight -= 1;
    if (appended.ok) {
      if (this.#failing) this.#log.info({ unrecorded: this.unrecorded }, "the event log takes events again");
      this.#failing = false;
    } else {
      if (!this.#failing)
        this.#log.warn({ code: appended.code }, "the event log takes no events; they wait here");
      this.#failing = true;
      this.#waiting.unshift(event);
      this.#retryTimer ??= setTimeout(() => {
        this.#retryTimer = undefined;
        this.#pump();
      }, RETRY_MS);
    }
    this.#pump();
  }
}
