// Rules and dashboard ask for nothing that the processes do not serve: a renamed metric would silence an alert.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { openMetrics as openDeskMetrics } from "../../desk/metrics.js";
import { openAgentMetrics } from "../../edge-agent/metrics.js";
import { openMetrics as openGatewayMetrics } from "../../gateway/metrics.js";
import { openLedgerMetrics } from "../../ledger/metrics.js";
import { openMatcherMetrics } from "../../matcher/metrics.js";
import { openOpsServer } from "../../wire/ops-server.js";
import { ShardSet } from "../../wire/shard.js";
import {
  dashboardExpressions,
  documentedMetrics,
  type Metric,
  PARTS,
  type Panel,
  type Part,
  readDashboard,
  readRules,
  unknownIn,
} from "./ops-files.js";
import { promtool } from "./promtool.js";

const all = PARTS.flatMap(documentedMetrics);
const rules = readRules().replace(/^\s*#.*$/gm, "");
const recorded = [...rules.matchAll(/- record: (\S+)/g)].map(([, name = ""]) => name);

const REGISTRIES: Record<Part, () => Promise<Registry> | Registry> = {
  "Every process": async () => {
    const registry = new Registry();
    const server = await openOpsServer({ host: "127.0.0.1", port: 0, registry, notReady: () => [] });
    await server.close();
    return registry;
  },
  Gateway: () => {
    const metrics = openGatewayMetrics();
    metrics.observe({
      lanes: () => 0,
      presentationsActive: () => 0,
      creditsOutstanding: () => 0,
      signers: () => ({ queued: 0, busy: 0 }),
      shards: () => ({ expected: 0, served: 0, missingReplicas: 0 }),
      unrecordedEvents: () => 0,
      searches: () => ({ searches: 0, secondAsks: 0, secondAsksRefused: 0, answersDropped: 0 }),
    });
    return metrics.registry;
  },
  Matcher: () => {
    const none = { ready: new ShardSet(), held: new ShardSet(), threadShards: [], templates: 0, members: 0 };
    const now = { appliedSequence: 0, lag: 0, storeFull: false, beatAgeMs: 0 };
    return openMatcherMetrics(() => ({ ...none, ...now })).registry;
  },
  Ledger: () =>
    openLedgerMetrics({
      leads: () => false,
      beatAgeMs: () => 0,
      sagas: () => ({ open: 0, oldestMs: 0 }),
      payments: () => ({ open: 0, overdue: 0, oldestMs: 0 }),
      lag: () => 0,
      erasuresWaiting: () => new Map(),
    }).registry,
  Desk: () => {
    const metrics = openDeskMetrics();
    metrics.observe({ signers: () => ({ queued: 0, busy: 0 }), viewers: () => 0, links: () => 0 });
    return metrics.registry;
  },
  Agent: () => openAgentMetrics().registry,
};

const labelled = z.object({ name: z.string(), labelNames: z.array(z.string()) });

/** Ours in a registry, with their labels, as documentedMetrics() has them. */
async function metricsIn(part: Part): Promise<Metric[]> {
  const metrics = (await REGISTRIES[part]()).getMetricsAsArray().map((each) => labelled.parse(each));
  return metrics.flatMap(({ name, labelNames }) =>
    name.startsWith("palmgate_") ? [{ name, labels: labelNames.filter((label) => label !== "le") }] : [],
  );
}

const byName = (a: Metric, b: Metric) => a.name.localeCompare(b.name);

describe("metrics", () => {
  it.each(PARTS)("of part '%s' are those of docs/architecture.md, with their labels", async (part) => {
    expect((await metricsIn(part)).sort(byName)).toEqual(documentedMetrics(part).sort(byName));
  });

  it("of decisions have the buckets that the objectives ask about", async () => {
    const metrics = openGatewayMetrics();
    metrics.decision("ENTRY", "MATCH", "WELCOME_MEMBER", 42);
    const text = await metrics.registry.getSingleMetricAsString("palmgate_decision_seconds");
    for (const le of ["0.3", "0.5", "1"]) expect(text).toContain(`le="${le}"`);
  });

  it("that nobody serves are noticed, and so are their labels", () => {
    const wrong =
      'rate(palmgate_nothing_total[5m]) + palmgate_event_lag{store="x"} + palmgate_decision_seconds + palmgate_beat_age_seconds_sum';
    expect(unknownIn(wrong, all, recorded)).toEqual([
      "palmgate_nothing_total",
      "palmgate_event_lag{store}",
      "palmgate_decision_seconds",
      "palmgate_beat_age_seconds_sum",
    ]);
  });

  it("that the rules ask for are all served", () => {
    expect(unknownIn(rules, all, recorded)).toEqual([]);
  });

  it("that the dashboard asks for are all served", () => {
    expect(dashboardExpressions().flatMap((each) => unknownIn(each, all, recorded))).toEqual([]);
  });

  it("that are served are all on the dashboard", () => {
    const shown = dashboardExpressions().join("\n");
    expect(all.map(({ name }) => name).filter((name) => !shown.includes(name))).toEqual([]);
  });
});

describe("Grafana dashboard", () => {
  const { panels, schemaVersion, templating } = readDashboard();
  const charts = panels.filter(({ type }) => type !== "row");

  it("is for Grafana 10 or later and lets the data source be chosen", () => {
    expect(schemaVersion).toBeGreaterThanOrEqual(38);
    expect(templating.list).toContainEqual({ name: "datasource", type: "datasource" });
  });

  it("asks what Prometheus understands", () => {
    const folder = mkdtempSync(join(tmpdir(), "palmgate-"));
    const file = join(folder, "dashboard.yml");
    const records = dashboardExpressions().map(
      (expr, n) => `      - { record: "x${n}", expr: ${JSON.stringify(expr)} }`,
    );
    writeFileSync(file, ["groups:", "  - name: dashboard", "    rules:", ...records, ""].join("\n"));
    const { ok, text } = promtool("check", "rules", file);
    rmSync(folder, { recursive: true });
    expect(ok, text).toBe(true);
  });

  it.each(charts)("$title has a unit, a description, legends and the chosen data source", (chart) => {
    expect(chart.description).toBeTruthy();
    expect(chart.targets.length).toBeGreaterThan(0);
    for (const { uid } of [chart.datasource, ...chart.targets.map((t) => t.datasource)].flatMap(
      (d) => d ?? [],
    ))
      expect(uid).toBe(`\${datasource}`);
    if (chart.type === "timeseries") for (const t of chart.targets) expect(t.legendFormat).not.toBe("");
    if (chart.type !== "heatmap") expect(chart.fieldConfig?.defaults.unit).toBeTruthy();
  });

  it("has panels that do not overlap and ids of their own", () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const overlapping = panels.flatMap((a, n) => panels.slice(n + 1).filter((b) => overlap(a, b)));
    expect(overlapping.map(({ title }) => title)).toEqual([]);
  });
});

function overlap({ gridPos: a }: Panel, { gridPos: b }: Panel): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}
