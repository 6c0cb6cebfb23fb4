// The ledger's part of metrics.test.ts.
import { expect, it } from "vitest";
import { openLedgerMetrics } from "../../ledger/metrics.js";
import { documentedMetrics } from "./ops-files.js";

it("metrics of the ledger are those of docs/architecture.md", async () => {
  const { registry } = openLedgerMetrics({
    leads: () => false,
    beatAgeMs: () => 0,
    sagas: () => ({ open: 0, oldestMs: 0 }),
    payments: () => ({ open: 0, overdue: 0, oldestMs: 0 }),
    lag: () => 0,
    erasuresWaiting: () => new Map(),
  });
  const served = await registry.getMetricsAsJSON();
  const ours = served.map(({ name }) => name).filter((name) => name.startsWith("palmgate_"));
  expect(ours.sort()).toEqual(
    [...documentedMetrics("Every process"), ...documentedMetrics("Ledger")].map(({ name }) => name).sort(),
  );
});
