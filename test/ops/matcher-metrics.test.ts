// The matcher's part of metrics.test.ts.
import { expect, it } from "vitest";
import { openMatcherMetrics } from "../../matcher/metrics.js";
import { documentedMetrics } from "./ops-files.js";

it("metrics of the matcher are those of docs/architecture.md", async () => {
  const served = await openMatcherMetrics(() => []).registry.getMetricsAsJSON();
  const ours = served.map(({ name }) => name).filter((name) => name.startsWith("palmgate_"));
  expect(ours.sort()).toEqual(
    documentedMetrics("Matcher")
      .map(({ name }) => name)
      .sort(),
  );
});
