// Reads what ops/ asks of Prometheus: every expression of the rules and the dashboard, and the metrics they name.
import { readFileSync } from "node:fs";
import { z } from "zod";

export const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

export const RULES_FILES = ["ops/prometheus/palmgate.rules.yml", "ops/prometheus/palmgate.ledger.rules.yml"];

export const readRules = (): string => RULES_FILES.map(read).join("\n");

const target = z.object({ expr: z.string(), legendFormat: z.string() });
const panel = z.object({
  id: z.number(),
  type: z.string(),
  title: z.string().min(1),
  description: z.string().optional(),
  gridPos: z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
  datasource: z.object({ uid: z.string() }).optional(),
  targets: z.array(target.extend({ datasource: z.object({ uid: z.string() }) })).default([]),
  fieldConfig: z.object({ defaults: z.object({ unit: z.string().optional() }) }).optional(),
});
const dashboard = z.object({
  uid: z.string(),
  schemaVersion: z.number(),
  annotations: z.object({ list: z.array(z.object({ expr: z.string() })) }),
  templating: z.object({ list: z.array(z.object({ name: z.string(), type: z.string() })) }),
  panels: z.array(panel),
});

export type Panel = z.infer<typeof panel>;

export const readDashboard = () => dashboard.parse(JSON.parse(read("ops/grafana/palmgate.json")));

/** Every expression of the dashboard, with Grafana's variable filled in. */
export function dashboardExpressions(): string[] {
  const { annotations, panels } = readDashboard();
  return [...annotations.list, ...panels.flatMap(({ targets }) => targets)].map(({ expr }) =>
    expr.replaceAll("$__rate_interval", "5m"),
  );
}

export interface Metric {
  name: string;
  labels: string[];
}

export const PARTS = ["Every process", "Gateway", "Matcher", "Ledger", "Desk", "Agent"] as const;
export type Part = (typeof PARTS)[number];

/** The metrics that a part of docs/architecture.md promises. */
export function documentedMetrics(part: Part): Metric[] {
  const section = /\n## Metrics\n([\s\S]*?)(?=\n## |$)/.exec(read("docs/architecture.md"))?.[1] ?? "";
  const text = new RegExp(`${part}: ([^.]*)`).exec(section)?.[1] ?? "";
  return [...text.matchAll(/`([a-z_]+)(?:\{([^}]*)\})?`/g)].map(([, name, labels = ""]) => ({
    name: `palmgate_${name}`,
    labels: labels
      .split(",")
      .map((label) => label.split("=")[0] ?? "")
      .filter((label) => label !== ""),
  }));
}

/** By its name: only ages are gauges in seconds. */
const isHistogram = (name: string) => name.endsWith("_seconds") && !/_(age|oldest)_seconds$/.test(name);

const ADDED_BY_PROMETHEUS = ["job", "instance", "le"];

/** What an expression asks for that neither a process nor a recording rule gives, as `metric` or `metric{label}`. */
export function unknownIn(expression: string, metrics: Metric[], recorded: string[]): string[] {
  const unknown: string[] = [];
  for (const [, name = "", selector = ""] of expression.matchAll(/\b(palmgate[_:][\w:]+)(?:\{([^}]*)\})?/g)) {
    if (recorded.includes(name)) continue;
    const base = name.replace(/_seconds_(bucket|sum|count)$/, "_seconds");
    const metric = metrics.find((each) => each.name === base);
    // A histogram has no series of its bare name, and nothing else has its parts.
    if (!metric || (name === base) === isHistogram(base)) unknown.push(name);
    for (const [, label = ""] of selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)) {
      if (metric && ![...metric.labels, ...ADDED_BY_PROMETHEUS].includes(label))
        unknown.push(`${name}{${label}}`);
    }
  }
  return unknown;
}
