// The desk's settings. Secrets (operator token, master key, nats-url with a password) belong into the environment.
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { type Settings, UsageError, type Values } from "../wire/config.js";
import { MASTER_KEY_SETTING } from "../wire/keyring.js";

const MIN_OPERATOR_TOKEN_CHARS = 16;
const MAX_SIGNER_THREADS = 16;

/** A file of the project's own, from the sources and from dist/ alike. */
const ours = (path: string) =>
  fileURLToPath(new URL(`${import.meta.url.endsWith(".ts") ? ".." : "../.."}/${path}`, import.meta.url));

const port = (fallback: number) => z.coerce.number().int().min(0).max(65_535).default(fallback);
const file = z.string().min(1);

export const DESK_SETTINGS = {
  natsUrl: {
    option: "nats-url",
    value: "URL",
    help: "nats-server with JetStream",
    schema: z.string().default("nats://127.0.0.1:4222"),
  },
  host: {
    option: "host",
    value: "ADDRESS",
    help: "address for API, pages and lanes",
    schema: z.string().default("127.0.0.1"),
  },
  port: {
    option: "port",
    value: "PORT",
    help: "port for API, pages and lanes; 0: a free one",
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
    schema: port(9468),
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
    help: "threads that turn enrolment captures into signatures",
    schema: z.coerce.number().int().min(1).max(MAX_SIGNER_THREADS).default(1),
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
  gatewayCa: {
    option: "gateway-ca",
    value: "FILE",
    help: "PEM certificates that gateways with TLS are checked against (default: those of the system)",
    schema: file.optional(),
  },
  masterKey: MASTER_KEY_SETTING,
  operatorToken: {
    option: "operator-token",
    value: "SECRET",
    help: "bearer token of the API",
    schema: z
      .string({ error: "is needed: any secret of 16 characters or more" })
      .min(MIN_OPERATOR_TOKEN_CHARS, "must have 16 characters or more"),
  },
  livePage: {
    option: "live-page",
    value: "open|token",
    help: "who may watch the live page: all, or who has the operator token",
    schema: z.enum(["open", "token"]).default("token"),
  },
  publicUrl: {
    option: "public-url",
    value: "URL",
    help: "where browsers reach this desk, for the links of passes (default: links without a host)",
    schema: z.url({ protocol: /^https?$/ }).optional(),
  },
  trustedProxies: {
    option: "trusted-proxies",
    value: "LIST",
    help: "addresses or networks whose X-Forwarded-For is believed, separated by commas (default: nobody's)",
    schema: z
      .string()
      .default("")
      .transform((text) => text.split(",").flatMap((each) => each.trim() || [])),
  },
  requestsPerMinute: {
    option: "requests-per-minute",
    value: "N",
    help: "of one address without the operator token; more are told to wait",
    schema: z.coerce.number().int().min(1).max(1_000_000).default(600),
  },
} as const satisfies Settings;

export type DeskConfig = Values<typeof DESK_SETTINGS>;

/** @throws UsageError when one of the two files is given without the other */
export function tlsOf({ tlsCert, tlsKey }: DeskConfig): { certFile: string; keyFile: string } | undefined {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new UsageError("--tls-cert and --tls-key belong together: give both or neither.");
  }
  return { certFile: tlsCert, keyFile: tlsKey };
}
