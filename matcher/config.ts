// Settings of a matcher.
import { availableParallelism } from "node:os";
import { z } from "zod";
import { readSettings, type Settings, type Values } from "../wire/config.js";
import { MASTER_KEY_SETTING } from "../wire/keyring.js";
import { DEVICE_ID_PATTERN } from "../wire/limits.js";
import { ENGINES } from "./index/engines.js";

const MAX_THREADS = 64;
const BYTES_PER_MIB = 1024 * 1024;

export const SETTINGS = {
  natsUrl: {
    option: "nats-url",
    value: "URL",
    help: "where nats-server listens",
    schema: z.string().default("nats://127.0.0.1:4222"),
  },
  dataDir: {
    option: "data-dir",
    value: "DIR",
    help: "this worker's own directory",
    schema: z.string().min(1).default("data/matcher"),
  },
  masterKey: MASTER_KEY_SETTING,
  workerId: {
    option: "worker-id",
    value: "ID",
    help: "this worker's name, no other's and the same after a restart; left out: made once and kept in data-dir",
    schema: z.string().regex(DEVICE_ID_PATTERN, "must be 1 to 64 of a-z, 0-9 and -").optional(),
  },
  threads: {
    option: "threads",
    value: "N",
    help: "search threads; each has an equal part of the worker's shards",
    schema: z.coerce
      .number()
      .int()
      .min(1)
      .max(MAX_THREADS)
      .default(Math.max(1, availableParallelism() - 1)),
  },
  index: {
    option: "index",
    value: "ENGINE",
    help: "codes; or hnsw or exact, which go by vectors",
    schema: z.enum(ENGINES).default("codes"),
  },
  mapSizeMib: {
    option: "map-size-mib",
    value: "MIB",
    help: "the most that the members of one thread may take on disk; left out: as the store decides",
    schema: z.coerce.number().int().min(1).optional(),
  },
  opsHost: {
    option: "ops-host",
    value: "HOST",
    help: "address of /metrics, /healthz and /readyz",
    schema: z.string().default("127.0.0.1"),
  },
  opsPort: {
    option: "ops-port",
    value: "PORT",
    help: "port of the same; 0 picks a free one",
    schema: z.coerce.number().int().min(0).max(65_535).default(9465),
  },
} satisfies Settings;

export interface MatcherConfig {
  natsUrl: string;
  dataDir: string;
  masterKey: Uint8Array;
  /** Left out: the one that is kept in the data folder. */
  workerId: string | undefined;
  threads: number;
  index: (typeof ENGINES)[number];
  mapSizeBytes: number | undefined;
  opsHost: string;
  opsPort: number;
}

/** @throws UsageError */
export function readMatcherConfig(argv: string[], env = process.env): MatcherConfig {
  const { mapSizeMib, ...values }: Values<typeof SETTINGS> = readSettings(SETTINGS, argv, env);
  return Object.freeze({
    ...values,
    mapSizeBytes: mapSizeMib === undefined ? undefined : mapSizeMib * BYTES_PER_MIB,
  });
}
