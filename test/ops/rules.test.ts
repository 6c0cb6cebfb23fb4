// The Prometheus rules: valid, proved by promtool's own tests, each alert with a section in the runbook.
import { describe, expect, it } from "vitest";
import { RULES_FILES, read, readRules } from "./ops-files.js";
import { promtool } from "./promtool.js";

const rules = readRules();
const alerts = [...rules.matchAll(/- alert: (\w+)\n([\s\S]*?)(?=\n {6}- |\n {2}- name|$)/g)].map(
  ([, name = "", body = ""]) => ({ name, body }),
);
const TEST_FILES = ["rules", "slo", "fleet", "ledger", "watch"].map(
  (name) => `ops/prometheus/palmgate.${name}.test.yml`,
);

describe("Prometheus rules", () => {
  it("are accepted by Prometheus, and so is the example configuration", () => {
    expect(promtool("check", "rules", ...RULES_FILES)).toMatchObject({ ok: true });
    expect(promtool("check", "config", "ops/prometheus/prometheus.yml")).toMatchObject({ ok: true });
  });

  it.each(TEST_FILES)("behave as %s says", { timeout: 120_000 }, (file) => {
    const { ok, text } = promtool("test", "rules", file);
    expect(ok, text).toBe(true);
  });

  it("hold the alerts that the rest of this file looks at", () => {
    expect(alerts.length).toBeGreaterThan(10);
  });

  it.each(alerts)("$name has a case in which it fires and one in which it does not", ({ name }) => {
    const cases = TEST_FILES.map(read).join("\n");
    expect(cases).toMatch(new RegExp(`alertname: ${name}\\n +exp_alerts:\\n +- exp_labels`));
    expect(cases).toMatch(new RegExp(`alertname: ${name}, exp_alerts: \\[\\]`));
  });

  it.each(alerts)("$name says what happens, how bad it is and where the runbook is", ({ name, body }) => {
    expect(body).toMatch(/labels: \{ severity: (critical|warning) \}/);
    expect(body).toMatch(/ summary: ".+"/);
    expect(body).toMatch(/ description: ".+"/);
    const anchor = /runbook_url: "ops\/README\.md#([\w-]+)"/.exec(body)?.[1];
    const section = runbookSections().get(anchor ?? "no runbook_url");
    expect(section, `ops/README.md has no section #${anchor}`).toBeDefined();
    expect(section).toContain(`\`${name}\``);
  });
});

/** Text of each section of the runbook by the anchor that its heading gets. */
function runbookSections(): Map<string, string> {
  const [, ...sections] = read("ops/README.md").split(/^### /m);
  return new Map(
    sections.map((text) => [text.split("\n", 1)[0]?.toLowerCase().replaceAll(" ", "-") ?? "", text]),
  );
}
