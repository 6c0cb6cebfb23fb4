// Every number a matcher shows to operators. Names are those of docs/architecture.md.
//
// Invariants: no label names a gallery, a partition or a member: the number of series is fixed; threads count, this
// thread shows.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { DATA_KEY_REFUSALS } from "../records/index.js";
import { countDroppedLines } from "../wire/report.js";
import { SKIP_REASONS } from "./member-changes.js";
import type { ThreadReport } from "./thread-messages.js";
import type { HeldHere } from "./threads.js";

/** Seconds. */
const SEARCH_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1];
const STATUSES = ["SEARCHED", "MODEL_MISMATCH", "PROBE_INVALID", "NOT_READY"] as const;

export interface MatcherMetrics {
  readonly registry: Registry;
  /** Adds what a thread counted since its last report. */
  add(report: ThreadReport): void;
}

/** @param held what is open here, asked whenever Prometheus asks */
export function openMatcherMetrics(held: () => HeldHere[]): MatcherMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  countDroppedLines(registry);
  const gauge = (name: string, help: string, value: (held: HeldHere[]) => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value(held()));
      },
    });
  new Gauge({
    name: "palmgate_matcher_partitions",
    help: "Partitions held here",
    labelNames: ["state"],
    registers,
    collect() {
      const all = held();
      const ready = all.filter((each) => each.ready).length;
      this.set({ state: "ready" }, ready);
      this.set({ state: "catching_up" }, all.filter((each) => !each.ready && !each.closing).length);
    },
  });
  gauge("palmgate_matcher_templates", "Templates in the indexes", (all) =>
    sum(all, (each) => each.templates),
  );
  gauge("palmgate_matcher_members", "Members in the indexes", (all) => sum(all, (each) => each.members));
  gauge("palmgate_matcher_store_full", "1 while the disk refuses writes of any partition", (all) =>
    all.some((each) => each.storeFull) ? 1 : 0,
  );
  new Gauge({
    name: "palmgate_event_lag",
    help: "Events known to the log and not applied here",
    labelNames: ["stream"],
    registers,
    collect() {
      this.set(
        { stream: "MEMBERS" },
        sum(held(), (each) => each.lag),
      );
    },
  });
  const searchesTotal = new Counter({
    name: "palmgate_matcher_searches_total",
    help: "Searches answered, by status",
    labelNames: ["status"],
    registers,
  });
  const searches = STATUSES.map((status) => ({ status, counter: searchesTotal.labels(status) }));
  const searchSeconds = new Histogram({
    name: "palmgate_matcher_search_seconds",
    help: "Time inside the thread for one search of one partition",
    buckets: SEARCH_BUCKETS,
    registers,
  });
  const eventsApplied = new Counter({
    name: "palmgate_matcher_events_applied_total",
    help: "Events applied to the views",
    registers,
  });
  const skippedTotal = new Counter({
    name: "palmgate_matcher_templates_skipped_total",
    help: "Templates left out of the index: of another model, or not to be opened",
    labelNames: ["reason"],
    registers,
  });
  const refusedTotal = new Counter({
    name: "palmgate_data_keys_refused_total",
    help: "Data keys in the log that are not taken",
    labelNames: ["reason"],
    registers,
  });
  const refusedKeys = DATA_KEY_REFUSALS.map((code) => ({
    code,
    counter: refusedTotal.labels(code.toLowerCase()),
  }));
  const skipped = SKIP_REASONS.map((reason) => ({ reason, counter: skippedTotal.labels(reason) }));
  return {
    registry,
    add(report) {
      for (const { status, counter } of searches) counter.inc(report.searches[status]);
      for (const ms of report.searchMs) searchSeconds.observe(ms / 1000);
      eventsApplied.inc(report.eventsApplied);
      for (const { code, counter } of refusedKeys) counter.inc(report.refusedKeys[code]);
      for (const { reason, counter } of skipped) counter.inc(report.skipped[reason]);
    },
  };
}

const sum = (all: HeldHere[], value: (each: HeldHere) => number): number =>
  all.reduce((total, each) => total + value(each), 0);
