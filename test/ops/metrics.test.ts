// Rules and dashboard ask for nothing that the processes do not serve: a renamed metric would silence an alert.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import { openAgentMetrics } from "../../edge-agent/metrics.js";
import { openMetrics } from "../../gateway/metrics.js";
import {
  dashboardExpressions,
  documentedMetrics,
  type Panel,
  RULES_FILE,
  read,
  readDashboard,
  unknownIn,
} from "./ops-files.js";
import { promtool } from "./promtool.js";

const gateway = documentedMetrics("Gateway");
const matcher = documentedMetrics("Matcher");
const agent = documentedMetrics("Agent");
const ledger = documentedMetrics("Ledger");
const all = [...gateway, ...matcher, ...agent, ...ledger];
const rules = read(RULES_FILE).replace(/^\s*#.*$/gm, "");
const recorded = [...rules.matchAll(/- record: (\S+)/g)].map(([, name = ""]) => name);

function gatewayRegistry(): Registry {
  const metrics = openMetrics();
  metrics.observe({
    lanes: () => 0,
    presentationsActive: () => 0,
    creditsOutstanding: () => 0,
    signers: () => ({ queued: 0, busy: 0 }),
    partitions: () => ({ expected: 0, ready: 0 }),
    members: () => 0,
    memberLag: () => 0,
    unrecordedEvents: () => 0,
  });
  return metrics.registry;
}

const namesIn = async (registry: Registry) => (await registry.getMetricsAsJSON()).map(({ name }) => name);

describe("metrics", () => {
  it("of the gateway are those of docs/architecture.md", async () => {
    expect((await namesIn(gatewayRegistry())).sort()).toEqual(gateway.map(({ name }) => name).sort());
  });

  it("of the agent are those of docs/architecture.md", async () => {
    expect((await namesIn(openAgentMetrics().registry)).sort()).toEqual(agent.map(({ name }) => name).sort());
  });

  it("of decisions have the buckets that the objectives ask about", async () => {
    const metrics = openMetrics();
    metrics.decision("ENTRY", "MATCH", "WELCOME_MEMBER", 42);
    const text = await metrics.registry.getSingleMetricAsString("palmgate_decision_seconds");
    for (const le of ["0.3", "0.5", "1"]) expect(text).toContain(`le="${le}"`);
  });

  it("that nobody serves are noticed, and so are their labels", () => {
    const wrong =
      'rate(palmgate_nothing_total[5m]) + palmgate_event_lag{store="x"} + palmgate_decision_seconds';
    expect(unknownIn(wrong, all, recorded)).toEqual([
      "palmgate_nothing_total",
      "palmgate_event_lag{store}",
      "palmgate_decision_seconds",
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
