// Settings of a matcher.
import { createHash } from "node:crypto";
import { availableParallelism, hostname } from "node:os";
import { resolve } from "node:path";
import { z } from "zod";
import { MASTER_KEY_SETTING } from "../records/index.js";
import { readSettings, type Settings, type Values } from "../wire/config.js";
import { DEVICE_ID_PATTERN } from "../wire/limits.js";
import { ENGINES } from "./index/engines.js";

const MAX_THREADS = 64;
const ID_HOST_CHARS = 40;
const ID_HASH_CHARS = 8;
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
    help: "this worker's own directory: one view per partition",
    schema: z.string().min(1).default("data/matcher"),
  },
  masterKey: MASTER_KEY_SETTING,
  workerId: {
    option: "worker-id",
    value: "ID",
    help: "this worker's name, the same after a restart; left out: made from host name and data-dir",
    schema: z.string().regex(DEVICE_ID_PATTERN, "must be 1 to 64 of a-z, 0-9 and -").optional(),
  },
  threads: {
    option: "threads",
    value: "N",
    help: "partition threads",
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
    help: "the most that the view of one partition may take on disk; left out: as the store decides",
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
  workerId: string;
  threads: number;
  index: (typeof ENGINES)[number];
  mapSizeBytes: number | undefined;
  opsHost: string;
  opsPort: number;
}

/** @throws UsageError */
export function readMatcherConfig(argv: string[], env = process.env): MatcherConfig {
  const { mapSizeMib, workerId, ...values }: Values<typeof SETTINGS> = readSettings(SETTINGS, argv, env);
  return Object.freeze({
    ...values,
    workerId: workerId ?? ownWorkerId(values.dataDir),
    mapSizeBytes: mapSizeMib === undefined ? undefined : mapSizeMib * BYTES_PER_MIB,
  });
}

/** The same for the same directory of the same machine: partitions stay where their views are. */
function ownWorkerId(dataDir: string): string {
  const host = hostname()
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]/g, "-");
  const hash = createHash("sha256").update(resolve(dataDir)).digest("hex");
  return `${host.slice(0, ID_HOST_CHARS)}-${hash.slice(0, ID_HASH_CHARS)}`;
}
