// Every number a matcher shows to operators. Names are those of docs/architecture.md.
//
// Invariants: no label names an organisation, a gallery, a shard or a member: the number of series is fixed; threads
// count, this thread shows.
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { DATA_KEY_REFUSALS } from "../records/index.js";
import { SKIP_REASONS } from "./member-changes.js";
import { type Counts, MEMBER_STATUSES, SEARCH_STATUSES } from "./tally.js";
import type { ThreadsState } from "./threads.js";

/** Seconds. */
const SEARCH_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1];

export interface MatcherMetrics {
  readonly registry: Registry;
  /** Adds what a thread counted since its last report. */
  add(counts: Counts): void;
}

/** @param state how things stand, asked whenever Prometheus asks */
export function openMatcherMetrics(state: () => ThreadsState): MatcherMetrics {
  const registry = new Registry();
  const registers = [registry];
  openGauges(registers, state);
  const counter = <Name extends string>(
    name: string,
    help: string,
    label: string,
    values: readonly Name[],
  ) => {
    const total = new Counter({ name, help, labelNames: [label], registers });
    const counters = values.map((value) => ({ value, counter: total.labels(value) }));
    return (counts: Record<Name, number>) => {
      for (const each of counters) each.counter.inc(counts[each.value]);
    };
  };
  const searches = counter(
    "palmgate_matcher_searches_total",
    "First rounds of searches answered, by status",
    "status",
    SEARCH_STATUSES,
  );
  const compares = counter(
    "palmgate_matcher_compares_total",
    "Second rounds of searches answered, by status",
    "status",
    SEARCH_STATUSES,
  );
  const reads = counter(
    "palmgate_matcher_member_reads_total",
    "Members asked for and answered, by status",
    "status",
    MEMBER_STATUSES,
  );
  const skipped = counter(
    "palmgate_matcher_templates_skipped_total",
    "Templates left out of the index: of another model, or not to be opened",
    "reason",
    SKIP_REASONS,
  );
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
  const searchSeconds = new Histogram({
    name: "palmgate_matcher_search_seconds",
    help: "Time inside the thread for one first round",
    buckets: SEARCH_BUCKETS,
    registers,
  });
  const eventsApplied = new Counter({
    name: "palmgate_matcher_events_applied_total",
    help: "Events applied, beats among them",
    registers,
  });
  return {
    registry,
    add(counts) {
      searches(counts.searches);
      compares(counts.compares);
      reads(counts.reads);
      skipped(counts.skipped);
      for (const { code, counter } of refusedKeys) counter.inc(counts.refusedKeys[code]);
      for (const ms of counts.searchMs) searchSeconds.observe(ms / 1000);
      eventsApplied.inc(counts.eventsApplied);
    },
  };
}

function openGauges(registers: Registry[], state: () => ThreadsState): void {
  const gauge = (name: string, help: string, value: (state: ThreadsState) => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value(state()));
      },
    });
  new Gauge({
    name: "palmgate_matcher_shards",
    help: "Shards held here: ready to answer, or catching up with the log",
    labelNames: ["state"],
    registers,
    collect() {
      const { ready, held } = state();
      this.set({ state: "ready" }, ready.size);
      this.set({ state: "catching_up" }, held.size - ready.size);
    },
  });
  gauge("palmgate_matcher_templates", "Templates in the indexes", ({ templates }) => templates);
  gauge("palmgate_matcher_members", "Members in the indexes", ({ members }) => members);
  gauge("palmgate_matcher_store_full", "1 while the disk refuses writes of any shard", ({ storeFull }) =>
    storeFull ? 1 : 0,
  );
  gauge(
    "palmgate_beat_age_seconds",
    "Since the newest beat of the log that all shards here have applied",
    ({ beatAgeMs }) => beatAgeMs / 1000,
  );
  new Gauge({
    name: "palmgate_event_lag",
    help: "Events known to the log and not applied here",
    labelNames: ["stream"],
    registers,
    collect() {
      this.set({ stream: "MEMBERS" }, state().lag);
    },
  });
}
