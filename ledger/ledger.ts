// One ledger, put together: the beat, the sagas, settlement and the books, each with the two or three things it uses.
//
// Invariants:
// - only the ledger that leads goes on with sagas and payments; every ledger answers for history. Leading is a hint: two
//   that both think they lead get in each other's way and do nothing twice;
// - one that has not read what the log holds, or takes nothing of it any more, says so, and does not lead while another
//   one is ready;
// - what the log held at start has been read before anything is gone on with.
import type { NatsConnection } from "@nats-io/transport-node";
import {
  type EventLog,
  type Holders,
  openPaymentLog,
  type PaymentProcessor,
  type Saga,
  type Sagas,
  ServedBy,
} from "../records/index.js";
import type { Directory } from "../wire/directory.js";
import { defaultSite } from "../wire/directory-values.js";
import { type Disposer, opened } from "../wire/disposer.js";
import { toHex } from "../wire/hex.js";
import type { Keyring } from "../wire/keyring.js";
import type { LedgerState } from "../wire/ledgers.js";
import type { Log } from "../wire/log.js";
import type { LogClock } from "../wire/log-clock.js";
import type { SagaKindName } from "../wire/subjects.js";
import { type BeatClocks, Beats } from "./beat.js";
import { Books } from "./books.js";
import { type EnrolDeps, enrolStep } from "./enrol-saga.js";
import { eraseStep } from "./erase-saga.js";
import { Headroom } from "./headroom.js";
import { serveHistory } from "./history.js";
import { type LedgerMetrics, openLedgerMetrics, SAGA_KINDS } from "./metrics.js";
import { FleetReceiptKey } from "./receipt-key.js";
import { refundStep } from "./refund-saga.js";
import type { HistoryAges } from "./rows.js";
import { SagaRunner } from "./saga-runner.js";
import { Settlement } from "./settlement.js";
import { Stillness } from "./stillness.js";

export interface LedgerOptions {
  nc: NatsConnection;
  eventLog: EventLog;
  sagas: Sagas;
  holders: Holders;
  directory: Directory;
  keyring: Keyring;
  clock: LogClock;
  log: Log;
  ledgerId: string;
  /** Random, of this life of the process. */
  instance: string;
  dataDir: string;
  ages: HistoryAges;
  processors: readonly PaymentProcessor[];
  /** What the duplicate check needs. */
  identify: Pick<EnrolDeps, "search" | "similarityFor" | "modelId">;
  /** How long a worker's heartbeat has been silent; 0: it is heard. */
  silentMs(workerId: string): number;
  /** Whether another ledger is alive and lacks nothing. */
  isAnotherReady(): boolean;
  unservedAfterMs?: number;
  stillAfterMs?: number;
  clocks?: BeatClocks;
}

export interface Ledger {
  metrics: LedgerMetrics;
  /** What is missing, one line each. */
  notReady(): string[];
  /** As others hear of it. */
  state(): LedgerState;
  leads(): boolean;
  close(): Promise<void>;
}

const MAX_PENDING_SHOWN = 20;

export function openLedger(options: LedgerOptions): Promise<Ledger> {
  return opened(async (disposer) => new OpenLedger(options, disposer));
}

class OpenLedger implements Ledger {
  readonly metrics: LedgerMetrics;
  readonly #options: LedgerOptions;
  readonly #disposer: Disposer;
  readonly #headroom: Headroom;
  readonly #still: Record<"sagas" | "decisions" | "payments", Stillness>;
  readonly #beats: Beats;
  readonly #books: Books;
  readonly #settlement: Settlement;
  readonly #runner: SagaRunner;
  /** Workers that the erasures which are pending wait for. */
  readonly #missing = new Map<string, readonly string[]>();

  constructor(options: LedgerOptions, disposer: Disposer) {
    const { nc, eventLog, keyring, clock, directory, log } = options;
    this.#options = options;
    this.#disposer = disposer;
    this.metrics = openLedgerMetrics({
      leads: () => this.leads(),
      beatAgeMs: () => clock.beatAgeMs(),
      sagas: (kind) => this.#runner.count(kind),
      payments: () => this.#payments(),
      lag: (stream) => this.#books.lag(stream),
      erasuresWaiting: () => this.#erasuresWaiting(),
    });
    this.#headroom = new Headroom(eventLog);
    const stillness = () => new Stillness(options.stillAfterMs);
    this.#still = { sagas: stillness(), decisions: stillness(), payments: stillness() };
    this.#beats = this.#openBeats();
    disposer.defer(() => this.#beats.close());
    const receiptKey = new FleetReceiptKey(directory, keyring, log);
    void receiptKey.make();
    this.#settlement = this.#openSettlement();
    disposer.defer(() => this.#settlement.close());
    this.#books = this.#openBooks();
    disposer.defer(() => this.#books.close());
    disposer.defer(serveHistory(nc, this.#books, log));
    this.#runner = this.#openRunner(receiptKey);
    disposer.defer(() => this.#runner.close());
  }

  leads(): boolean {
    return this.#beats.leads();
  }

  notReady(): string[] {
    const { directory, clock } = this.#options;
    return [
      directory.current() ? "" : "the directory is not current",
      clock.heard() ? "" : "no beat was heard yet",
      this.#beats.hindrance(),
      ...this.#notAble(),
    ].filter((each) => each !== "");
  }

  /** What keeps it from its work, leading or not. */
  #notAble(): string[] {
    const { sagas, decisions, payments } = this.#still;
    const reached = this.#books.reached();
    const readingOf = (source: "decisions" | "payments") => ({
      lag: this.#books.lag(source),
      position: reached[source],
    });
    return [
      this.#runner.caughtUp() ? "" : "sagas are being read",
      this.#books.caughtUp() ? "" : "decisions and payments are being read",
      sagas.look(this.#runner.reading()) ? "sagas wait and none is taken" : "",
      decisions.look(readingOf("decisions")) ? "decisions wait and none is taken" : "",
      payments.look(readingOf("payments")) ? "payments wait and none is taken" : "",
    ].filter((each) => each !== "");
  }

  state(): LedgerState {
    const { ledgerId: id, instance } = this.#options;
    const { open, oldestMs } = this.#payments();
    return {
      ...{ id, instance, leads: this.leads() },
      sagas: {
        enrol: this.#runner.count("enrol"),
        erase: this.#runner.count("erase"),
        refund: this.#runner.count("refund"),
      },
      payments: { open, oldestMs: Math.round(oldestMs) },
      pending: this.#pending(),
      notReady: this.notReady(),
    };
  }

  close(): Promise<void> {
    return this.#disposer.close();
  }

  #openBeats(): Beats {
    const options = this.#options;
    const { eventLog, keyring, clock, log } = options;
    return new Beats({
      ...{ eventLog, keyring, clock, log },
      ledgerId: `${options.ledgerId}/${options.instance}`,
      mayLead: () => this.#notAble().length === 0 || !options.isAnotherReady(),
      onLead: () => this.#wake(),
      onFull: () => this.#headroom.noteFull(),
      ...(options.clocks ? { clocks: options.clocks } : {}),
    });
  }

  #openSettlement(): Settlement {
    const { eventLog, directory, clock, log } = this.#options;
    return new Settlement({
      settle: {
        eventLog,
        payments: openPaymentLog(eventLog),
        processorOf: this.#processorOf,
        ruleOf: (organisation, site) => directory.site(organisation, site) ?? defaultSite(organisation, site),
        nowUnixMs: () => clock.nowUnixMs(),
        onStep: (event) => this.metrics.onStep(event),
      },
      active: () => this.leads() && this.#books.caughtUp(),
      openPayments: () => this.#books.openPayments(),
      isPayLane: (deviceId) => {
        const device = directory.device(deviceId);
        return device && device.purpose === "PAY";
      },
      log,
    });
  }

  #openBooks(): Books {
    const { eventLog, dataDir, ages, clock, log } = this.#options;
    return new Books({
      ...{ eventLog, dataDir, ages, log },
      nowUnixMs: () => clock.nowUnixMs(),
      onCaughtUp: () => this.#settlement.wake(),
      listener: {
        onDecision: ({ organisation, presentationId, granted }) => {
          if (!granted) this.#settlement.takeRefusal(organisation, toHex(presentationId));
        },
        onPassage: (passage) => this.#settlement.takePassage(passage),
        onPayment: (event, sequence, live) => this.#settlement.takePayment(event, sequence, live),
      },
    });
  }

  #openRunner(receiptKey: FleetReceiptKey): SagaRunner {
    const { nc, eventLog, sagas, holders, directory, keyring, clock, log, identify } = this.#options;
    const { silentMs, unservedAfterMs } = this.#options;
    const nowUnixMs = () => clock.nowUnixMs();
    const onStep = this.metrics.onStep;
    const servedBy = new ServedBy({
      ...{ nc, holders, silentMs },
      ...(unservedAfterMs === undefined ? {} : { unservedAfterMs }),
    });
    const enrol: EnrolDeps = {
      ...{ eventLog, sagas, keyring, directory, nowUnixMs, servedBy },
      ...identify,
      headroom: this.#headroom,
      open: () => this.#runner.open("enrol"),
    };
    const erase = {
      ...{ nc, eventLog, sagas, holders, nowUnixMs },
      receiptKey: () => receiptKey.newest(),
      onMissing: (saga: Saga, workers: readonly string[]) => this.#noteMissing(saga, workers),
    };
    const refund = {
      ...{ sagas, nowUnixMs, onStep },
      payments: openPaymentLog(eventLog),
      processorOf: this.#processorOf,
    };
    return new SagaRunner({
      ...{ sagas, nowUnixMs, log },
      steps: {
        enrol: (saga) => enrolStep(enrol, saga),
        erase: (saga) => eraseStep(erase, saga),
        refund: (saga) => refundStep(refund, saga),
      },
      active: () => this.leads(),
      onEnded: (saga) => this.#noteEnded(saga),
    });
  }

  readonly #processorOf = (name: string) => this.#options.processors.find((each) => each.name === name);

  #wake(): void {
    this.#runner.wake();
    this.#settlement.wake();
  }

  #noteMissing({ organisation, id }: Saga, workers: readonly string[]): void {
    const key = `${organisation}/${id}`;
    if (workers.length === 0) this.#missing.delete(key);
    else this.#missing.set(key, workers);
  }

  #noteEnded(saga: Saga): void {
    this.#missing.delete(`${saga.organisation}/${saga.id}`);
    this.metrics.onSagaEnded(saga.kind, saga.code === "" ? saga.step : saga.code);
  }

  #erasuresWaiting(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const worker of [...this.#missing.values()].flat())
      counts.set(worker, (counts.get(worker) ?? 0) + 1);
    return counts;
  }

  #payments(): { open: number; overdue: number; oldestMs: number } {
    return {
      open: this.#settlement.open(),
      overdue: this.#settlement.overdue(),
      oldestMs: this.#settlement.oldestMs(),
    };
  }

  #pending(): LedgerState["pending"] {
    const shown = (kind: SagaKindName | "settle", stuck: ReturnType<Settlement["stuck"]>) =>
      stuck.map(({ key, tries, detail }) => {
        const [organisation = "", id = ""] = key.split("/");
        return { kind, organisation, id, tries, detail };
      });
    return [
      ...SAGA_KINDS.flatMap((kind) => shown(kind, this.#runner.stuck(kind, MAX_PENDING_SHOWN))),
      ...shown("settle", this.#settlement.stuck(MAX_PENDING_SHOWN)),
    ].slice(0, MAX_PENDING_SHOWN);
  }
}
