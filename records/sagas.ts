// Sagas: work that is done once, as state in the log. The last event of a saga's subject is where it stands; each is
// appended on top of the one that its author had seen.
//
// Invariants:
// - one id, one piece of work: begun twice, by whomever, it is one saga, and another order under its id is told apart;
// - of two drivers that advance one saga from the same step, one goes on and the other is told CONFLICT;
// - what began, who asked and what was asked stay the same through all steps;
// - an ended saga never moves again;
// - an intent that must leave no trace is destroyed with all earlier events once a step without it is in the log; where a
//   crash came in between, whoever goes on destroys it first (`tidy()`).
import type { NatsConnection } from "@nats-io/transport-node";
import { Backoff } from "../wire/backoff.js";
import { bus, decode, encode } from "../wire/codec.js";
import type { Log } from "../wire/log.js";
import { type SagaKindName, STREAMS, sagaSubject } from "../wire/subjects.js";
import type { Appended, LogEvent } from "./event.js";
import type { Follower } from "./follower.js";
import type { EventLog } from "./log.js";

export type SagaStepName = "OPEN" | "ACCEPTED" | "DONE" | "REFUSED";

export interface Saga {
  kind: SagaKindName;
  organisation: string;
  /** 32 hex digits */
  id: string;
  step: SagaStepName;
  /** Of its last event, in stream SAGAS: what the next one is appended on top of. */
  sequence: number;
  /** Log's clock. */
  beganUnixMs: number;
  by: string;
  bodySha256: Uint8Array;
  /** Empty once it is dropped. */
  intent: Uint8Array;
  result: Uint8Array;
  code: string;
  detail: string;
}

export interface SagaOrder {
  kind: SagaKindName;
  organisation: string;
  id: string;
  by: string;
  bodySha256: Uint8Array;
  intent: Uint8Array;
}

export interface SagaAdvance {
  /** OPEN with a code: it will be refused, once its intent is destroyed. */
  step: SagaStepName;
  /** Left out: as it stands. */
  result?: Uint8Array;
  code?: string;
  detail?: string;
  /** The intent leaves no trace: destroyed with all earlier events of the saga. */
  dropIntent?: boolean;
}

type NotStored = "LOG_UNAVAILABLE" | "STORE_FULL";

export type Begun =
  /** `existing`: it was begun before. */
  | { ok: true; saga: Saga; existing: boolean }
  /** OTHER_BODY: under this id something else was asked. */
  | { ok: false; code: "OTHER_BODY" | NotStored };

export type Advanced =
  | { ok: true; saga: Saga }
  /** CONFLICT: somebody else went on: read again. */
  | { ok: false; code: "CONFLICT" | NotStored };

export interface Sagas {
  begin(order: SagaOrder): Promise<Begun>;
  /** Throws for a saga that has ended: that is a bug. */
  advance(saga: Saga, next: SagaAdvance): Promise<Advanced>;
  /** Throws LogUnavailableError. */
  read(kind: SagaKindName, organisation: string, id: string): Promise<Saga | undefined>;
  /** Resolves with the saga when it has ended, or as it stands when `withinMs` are over. Throws LogUnavailableError. */
  ended(kind: SagaKindName, organisation: string, id: string, withinMs: number): Promise<Saga | undefined>;
  /** Every saga as it stands now, then every change, until it is stopped. */
  follow(onSaga: (saga: Saga) => void, onCaughtUp: () => void): SagaFollower;
  /** Destroys every event of the saga before the one it stands at. Idempotent. @returns whether nothing is left */
  tidy(saga: Saga): Promise<boolean>;
}

export type SagaFollower = Pick<Follower, "stop" | "lag" | "caughtUp">;

export const hasEnded = ({ step }: Pick<Saga, "step">): boolean => step === "DONE" || step === "REFUSED";

const KINDS = {
  enrol: bus.SagaKind.ENROL_SAGA,
  erase: bus.SagaKind.ERASE_SAGA,
  refund: bus.SagaKind.REFUND_SAGA,
} as const satisfies Record<SagaKindName, bus.SagaKind>;

/** A saga that is heard of before it is stored is read again after these. */
const REREAD = { firstMs: 10, maxMs: 500 };

/** @param nowUnixMs the log's clock */
export function openSagas(
  nc: NatsConnection,
  eventLog: EventLog,
  { nowUnixMs, log }: { nowUnixMs: () => number; log: Log },
): Sagas {
  return new LoggedSagas(nc, eventLog, nowUnixMs, log);
}

class LoggedSagas implements Sagas {
  readonly #nc: NatsConnection;
  readonly #eventLog: EventLog;
  readonly #nowUnixMs: () => number;
  readonly #log: Log;

  constructor(nc: NatsConnection, eventLog: EventLog, nowUnixMs: () => number, log: Log) {
    this.#nc = nc;
    this.#eventLog = eventLog;
    this.#nowUnixMs = nowUnixMs;
    this.#log = log;
  }

  async begin(order: SagaOrder): Promise<Begun> {
    const saga: Saga = {
      ...order,
      step: "OPEN",
      sequence: 0,
      beganUnixMs: this.#nowUnixMs(),
      result: new Uint8Array(),
      code: "",
      detail: "",
    };
    const appended = await this.#append(saga, 0);
    if (appended.ok) return { ok: true, saga: { ...saga, sequence: appended.sequence }, existing: false };
    if (appended.code !== "CONFLICT") return { ok: false, code: appended.code };
    const found = await this.read(order.kind, order.organisation, order.id).catch(() => undefined);
    // Gone between the two, or unreadable: asked again, it will be clear.
    if (found === undefined) return { ok: false, code: "LOG_UNAVAILABLE" };
    const isSame = Buffer.from(found.bodySha256).equals(order.bodySha256);
    return isSame ? { ok: true, saga: found, existing: true } : { ok: false, code: "OTHER_BODY" };
  }

  async advance(saga: Saga, { dropIntent = false, ...next }: SagaAdvance): Promise<Advanced> {
    if (hasEnded(saga)) throw new Error(`saga ${saga.kind} ${saga.id} has ended`);
    const advanced: Saga = { ...saga, ...next, ...(dropIntent ? { intent: new Uint8Array() } : {}) };
    const appended = await this.#append(advanced, saga.sequence);
    if (!appended.ok) return { ok: false, code: appended.code };
    const stored = { ...advanced, sequence: appended.sequence };
    if (dropIntent && !(await this.tidy(stored))) {
      this.#log.warn(
        { saga: saga.id, kind: saga.kind },
        "an intent is not destroyed yet; it will be looked for again",
      );
    }
    return { ok: true, saga: stored };
  }

  async read(kind: SagaKindName, organisation: string, id: string): Promise<Saga | undefined> {
    const event = await this.#eventLog.last(STREAMS.sagas, sagaSubject(kind, organisation, id));
    return event && readSaga(event);
  }

  async ended(
    kind: SagaKindName,
    organisation: string,
    id: string,
    withinMs: number,
  ): Promise<Saga | undefined> {
    const over = AbortSignal.timeout(Math.ceil(Math.max(0, withinMs)));
    let heard = new AbortController();
    const subscription = this.#nc.subscribe(sagaSubject(kind, organisation, id), {
      callback: () => heard.abort(),
    });
    try {
      const backoff = new Backoff(over, REREAD);
      for (;;) {
        const saga = await this.read(kind, organisation, id);
        if (over.aborted || (saga !== undefined && hasEnded(saga))) return saga;
        // What is heard is not stored yet: soon is soon enough, and again after that.
        if (heard.signal.aborted) backoff.reset();
        heard = new AbortController();
        await Promise.race([backoff.wait(), abortOf(heard.signal)]);
      }
    } finally {
      if (!subscription.isClosed()) subscription.unsubscribe();
    }
  }

  follow(onSaga: (saga: Saga) => void, onCaughtUp: () => void): SagaFollower {
    return new SagasFollower(this.#eventLog, this.#log, onSaga, onCaughtUp);
  }

  async tidy({ kind, organisation, id, sequence }: Saga): Promise<boolean> {
    const subject = sagaSubject(kind, organisation, id);
    return (await this.#eventLog.secureDelete(STREAMS.sagas, subject, { keepFromSequence: sequence })).ok;
  }

  #append(saga: Saga, expectedSubjectSequence: number): Promise<Appended> {
    const { kind, organisation, id, step, beganUnixMs, by, bodySha256, intent, result, code, detail } = saga;
    const body = encode(bus.SagaEvent, {
      kind: KINDS[kind],
      organisation,
      id,
      step: bus.SagaStep[step],
      begunUnixMs: beganUnixMs,
      by,
      bodySha256,
      intent,
      result,
      code,
      detail,
    });
    return this.#eventLog.append(sagaSubject(kind, organisation, id), body, { expectedSubjectSequence });
  }
}

/** The saga that an event tells of; `undefined` when it is none, or not the one of its subject. */
export function readSaga(event: LogEvent): Saga | undefined {
  const message = decode(bus.SagaEvent, event.body);
  const kind = message && kindName(message.kind);
  const step = message && stepName(message.step);
  if (message === undefined || kind === undefined || step === undefined) return undefined;
  const { organisation, id, begunUnixMs: beganUnixMs, by, code, detail } = message;
  if (event.subject !== sagaSubject(kind, organisation, id)) return undefined;
  const { bodySha256, intent, result } = message;
  const { sequence } = event;
  return {
    kind,
    organisation,
    id,
    step,
    sequence,
    beganUnixMs,
    by,
    bodySha256,
    intent,
    result,
    code,
    detail,
  };
}

function kindName(kind: bus.SagaKind): SagaKindName | undefined {
  if (kind === KINDS.enrol) return "enrol";
  if (kind === KINDS.erase) return "erase";
  return kind === KINDS.refund ? "refund" : undefined;
}

function stepName(step: bus.SagaStep): SagaStepName | undefined {
  const { OPEN, ACCEPTED, DONE, REFUSED } = bus.SagaStep;
  if (step === OPEN) return "OPEN";
  if (step === ACCEPTED) return "ACCEPTED";
  if (step === DONE) return "DONE";
  return step === REFUSED ? "REFUSED" : undefined;
}

const abortOf = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));

const FOLLOW_RETRY = { firstMs: 100, maxMs: 5000 };

/** First every saga's last step, then the log from there. */
class SagasFollower implements SagaFollower {
  readonly #stopping = new AbortController();
  readonly #started: Promise<Follower | undefined>;
  #follower: Follower | undefined;

  constructor(eventLog: EventLog, log: Log, onSaga: (saga: Saga) => void, onCaughtUp: () => void) {
    const onEvents = (events: readonly LogEvent[]) => {
      for (const event of events) {
        const saga = readSaga(event);
        if (saga === undefined) log.error({ subject: event.subject }, "no saga in this event");
        else onSaga(saga);
      }
    };
    this.#started = this.#start(eventLog, log, onEvents, onCaughtUp);
  }

  lag(): number {
    return this.#follower?.lag() ?? Number.POSITIVE_INFINITY;
  }

  async caughtUp(): Promise<void> {
    const follower = await this.#started;
    if (follower === undefined) throw new Error("the follower was stopped before it had caught up");
    await follower.caughtUp();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await (await this.#started)?.stop();
  }

  async #start(
    eventLog: EventLog,
    log: Log,
    onEvents: (events: readonly LogEvent[]) => void,
    onCaughtUp: () => void,
  ): Promise<Follower | undefined> {
    const { signal } = this.#stopping;
    const backoff = new Backoff(signal, FOLLOW_RETRY);
    while (!signal.aborted) {
      try {
        const afterSequence = await eventLog.lastPerSubject(STREAMS.sagas, "sagas.>", onEvents);
        if (signal.aborted) return undefined;
        this.#follower = eventLog.follow({
          stream: STREAMS.sagas,
          filters: ["sagas.>"],
          afterSequence,
          onBatch: onEvents,
          onCaughtUp,
          log,
        });
        return this.#follower;
      } catch (error) {
        log.warn({ error: String(error) }, "sagas cannot be read now; trying again");
        await backoff.wait();
      }
    }
    return undefined;
  }
}
