import { defineConfig } from "vitest/config";

// Unit tests first (fast), then the suites that start real processes. Native add-ons (uWebSockets.js,
// onnxruntime-node, hnswlib-node, lmdb) want a process of their own, so tests run in forks.
export default defineConfig({
  test: {
    pool: "forks",
    setupFiles: ["test/property-seed.ts"],
    globalSetup: ["test/versions.ts"],
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: [
            "test/{wire,palm,identify,records,matcher,gateway,desk,ledger,edge-agent,cli,bench,ops,house,web}/**/*.test.ts",
          ],
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "system",
          include: ["test/system/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
