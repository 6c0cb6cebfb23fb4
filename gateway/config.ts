// The gateway's settings. Secrets (master key, nats-url with a password) belong into the environment, not the argv.
import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { type Settings, UsageError, type Values } from "../wire/config.js";
import { MASTER_KEY_SETTING } from "../wire/keyring.js";
import { NAME_PATTERN } from "../wire/limits.js";

/** Frames that a signer thread signs well within a presentation's deadline, three to a presentation. */
const PRESENTATIONS_PER_SIGNER = 32;
const MAX_SIGNER_THREADS = 64;

/** A file of the project's own, from the sources and from dist/ alike. */
const ours = (path: string) =>
  fileURLToPath(new URL(`${import.meta.url.endsWith(".ts") ? ".." : "../.."}/${path}`, import.meta.url));

const port = (fallback: number) => z.coerce.number().int().min(0).max(65_535).default(fallback);
const file = z.string().min(1);

export const GATEWAY_SETTINGS = {
  natsUrl: {
    option: "nats-url",
    value: "URL",
    help: "nats-server with JetStream",
    schema: z.string().default("nats://127.0.0.1:4222"),
  },
  gatewayId: {
    option: "gateway-id",
    value: "NAME",
    help: "its name in the fleet (default: a random one)",
    schema: z
      .string()
      .regex(NAME_PATTERN, "must be 1 to 32 of a-z, 0-9 and -")
      .default(() => `gateway-${randomBytes(4).toString("hex")}`),
  },
  host: {
    option: "host",
    value: "ADDRESS",
    help: "address for lanes",
    schema: z.string().default("0.0.0.0"),
  },
  port: {
    option: "port",
    value: "PORT",
    help: "port for lanes; 0: a free one",
    schema: port(8080),
  },
  opsHost: {
    option: "ops-host",
    value: "ADDRESS",
    help: "address for /metrics, /healthz, /readyz",
    schema: z.string().default("127.0.0.1"),
  },
  opsPort: {
    option: "ops-port",
    value: "PORT",
    help: "port for operators; 0: a free one",
    schema: port(9464),
  },
  model: {
    option: "model",
    value: "FILE",
    help: "signature network",
    schema: file.default(ours("model/signature.onnx")),
  },
  calibration: {
    option: "calibration",
    value: "FILE",
    help: "false match rates of that network",
    schema: file.default(ours("model/calibration.json")),
  },
  signerThreads: {
    option: "signer-threads",
    value: "N",
    help: "threads that turn frames into signatures",
    schema: z.coerce
      .number()
      .int()
      .min(1)
      .max(MAX_SIGNER_THREADS)
      .default(Math.max(1, availableParallelism() - 1)),
  },
  maxPresentations: {
    option: "max-presentations",
    value: "N",
    help: `presentations under way at once, the rest hear BUSY (default ${PRESENTATIONS_PER_SIGNER} per signer thread)`,
    schema: z.coerce.number().int().min(1).max(4096).optional(),
  },
  maxUnrecordedEvents: {
    option: "max-unrecorded-events",
    value: "N",
    help: "decisions that may wait for the event log before new presentations hear BUSY",
    schema: z.coerce.number().int().min(1).max(1_000_000).default(10_000),
  },
  tlsCert: {
    option: "tls-cert",
    value: "FILE",
    help: "PEM certificate chain; with it, TLS only",
    schema: file.optional(),
  },
  tlsKey: {
    option: "tls-key",
    value: "FILE",
    help: "PEM private key of the certificate",
    schema: file.optional(),
  },
  masterKey: MASTER_KEY_SETTING,
} as const satisfies Settings;

export type GatewayConfig = Values<typeof GATEWAY_SETTINGS>;

export const maxPresentationsOf = (config: GatewayConfig): number =>
  config.maxPresentations ?? PRESENTATIONS_PER_SIGNER * config.signerThreads;

/** @throws UsageError when one of the two files is given without the other */
export function tlsOf({ tlsCert, tlsKey }: GatewayConfig): { certFile: string; keyFile: string } | undefined {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new UsageError("--tls-cert and --tls-key belong together: give both or neither.");
  }
  return { certFile: tlsCert, keyFile: tlsKey };
}
