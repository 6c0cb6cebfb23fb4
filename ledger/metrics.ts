// A ledger's metrics. What is open is the same in every ledger that has caught up: alerts take the maximum over them.
// What was done is counted by the ledger whose step the log has acknowledged: sums over ledgers count everything once.
import { Counter, Gauge, Registry } from "prom-client";
import { isPaymentEnd } from "../records/index.js";
import { bus } from "../wire/codec.js";
import type { SagaKindName } from "../wire/subjects.js";

export const SAGA_KINDS = ["enrol", "erase", "refund"] as const satisfies readonly SagaKindName[];

/** What is looked at when somebody asks for the metrics. */
export interface LedgerState {
  leads(): boolean;
  beatAgeMs(): number;
  sagas(kind: SagaKindName): { open: number; oldestMs: number };
  payments(): { open: number; overdue: number; oldestMs: number };
  lag(stream: "decisions" | "payments"): number;
  /** Erasures that wait for it, by worker. */
  erasuresWaiting(): ReadonlyMap<string, number>;
}

export interface LedgerMetrics {
  registry: Registry;
  onStep(event: bus.PaymentEvent): void;
  onSagaEnded(kind: SagaKindName, outcome: string): void;
}

/** A gauge that a quiet fleet has not set yet must not look like one that counts forever. */
const NEVER_SECONDS = 1e6;

export function openLedgerMetrics(state: LedgerState): LedgerMetrics {
  const registry = new Registry();
  const registers = [registry];
  addGauges(registers, state);
  const payments = new Counter({
    name: "palmgate_payments_ended_total",
    help: "Payments that this ledger brought to an end, by that end and why.",
    labelNames: ["step", "why"],
    registers,
  });
  const unreported = new Counter({
    name: "palmgate_served_unreported_total",
    help: "Payments whose passage was granted and never reported in time, by what the site's rule did with the money.",
    labelNames: ["rule"],
    registers,
  });
  for (const rule of ["void", "capture"]) unreported.inc({ rule }, 0);
  const notPaid = new Counter({
    name: "palmgate_served_not_paid_total",
    help: "Passages that were reported after their money had been let go.",
    registers,
  });
  const ended = new Counter({
    name: "palmgate_sagas_ended_total",
    help: "Sagas that have ended, as this ledger saw it, by kind and outcome.",
    labelNames: ["kind", "outcome"],
    registers,
  });
  return {
    registry,
    onStep: ({ step, why }) => {
      const { CAPTURED, VOIDED } = bus.PaymentStep;
      if (step === VOIDED && why === "served") return notPaid.inc();
      if (!isPaymentEnd(step)) return;
      payments.inc({ step: bus.PaymentStep[step] ?? "", why });
      if (why !== "unreported") return;
      if (step === CAPTURED) unreported.inc({ rule: "capture" });
      if (step === VOIDED) unreported.inc({ rule: "void" });
    },
    onSagaEnded: (kind, outcome) => ended.inc({ kind, outcome }),
  };
}

function addGauges(registers: Registry[], state: LedgerState): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  gauge("palmgate_ledger_leads", "1 while this ledger writes the beat.", () => (state.leads() ? 1 : 0));
  gauge("palmgate_beat_age_seconds", "Since the newest beat was heard.", () =>
    Math.min(NEVER_SECONDS, state.beatAgeMs() / 1000),
  );
  gauge("palmgate_payments_open", "Payments that are not at their end.", () => state.payments().open);
  gauge(
    "palmgate_payments_overdue",
    "Payments whose time to be settled has come and that could not be settled yet.",
    () => state.payments().overdue,
  );
  gauge(
    "palmgate_payments_oldest_seconds",
    "Since the payment that has waited longest beyond its time was first tried; 0: none waits so.",
    () => state.payments().oldestMs / 1000,
  );
  const byKind = (name: string, help: string, read: (kind: SagaKindName) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ["kind"],
      registers,
      collect() {
        for (const kind of SAGA_KINDS) this.set({ kind }, read(kind));
      },
    });
  byKind("palmgate_sagas_open", "Sagas that have not ended, by kind.", (kind) => state.sagas(kind).open);
  byKind(
    "palmgate_saga_oldest_seconds",
    "Since the oldest saga that has not ended began (log's clock), by kind; 0: none is open.",
    (kind) => state.sagas(kind).oldestMs / 1000,
  );
  addLag(registers, state);
}

function addLag(registers: Registry[], state: LedgerState): void {
  new Gauge({
    name: "palmgate_ledger_lag_events",
    help: "Events of the stream that this ledger's view has not applied yet.",
    labelNames: ["stream"],
    registers,
    collect() {
      for (const stream of ["decisions", "payments"] as const) this.set({ stream }, state.lag(stream));
    },
  });
  new Gauge({
    name: "palmgate_erasures_waiting",
    help: "Erasures that wait for a worker's confirmation, by worker. Told by the ledger that leads.",
    labelNames: ["worker"],
    registers,
    collect() {
      this.reset();
      for (const [worker, count] of state.erasuresWaiting()) this.set({ worker }, count);
    },
  });
}
