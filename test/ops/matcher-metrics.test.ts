// The matcher's part of metrics.test.ts.
import { expect, it } from "vitest";
import { openMatcherMetrics } from "../../matcher/metrics.js";
import { ShardSet } from "../../wire/shard.js";
import { documentedMetrics } from "./ops-files.js";

it("metrics of the matcher are those of docs/architecture.md", async () => {
  const state = {
    ...{
      ready: new ShardSet(),
      held: new ShardSet(),
      threadShards: [],
      templates: 0,
      members: 0,
      appliedSequence: 0,
    },
    ...{ lag: 0, storeFull: false, beatAgeMs: 0 },
  };
  const served = await openMatcherMetrics(() => state).registry.getMetricsAsJSON();
  const ours = served.map(({ name }) => name).filter((name) => name.startsWith("palmgate_"));
  expect(ours.sort()).toEqual(
    [...documentedMetrics("Every process"), ...documentedMetrics("Matcher")].map(({ name }) => name).sort(),
  );
});
