// Settings of a ledger.
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { readSettings, type Settings, type Values } from "../wire/config.js";
import { MASTER_KEY_SETTING } from "../wire/keyring.js";
import { DEVICE_ID_PATTERN } from "../wire/limits.js";

/** A file of the project's own, from the sources and from dist/ alike. */
const ours = (path: string) =>
  fileURLToPath(new URL(`${import.meta.url.endsWith(".ts") ? ".." : "../.."}/${path}`, import.meta.url));

const file = z.string().min(1);
const days = (fallback: number) => z.coerce.number().int().min(1).max(3650).default(fallback);

export const SETTINGS = {
  natsUrl: {
    option: "nats-url",
    value: "URL",
    help: "nats-server with JetStream",
    schema: z.string().default("nats://127.0.0.1:4222"),
  },
  dataDir: {
    option: "data-dir",
    value: "DIR",
    help: "this ledger's own folder, for the view behind members' histories; made anew from the log when it is gone",
    schema: file.default("data/ledger"),
  },
  masterKey: MASTER_KEY_SETTING,
  ledgerId: {
    option: "ledger-id",
    value: "ID",
    help: "this ledger's name in status and logs; left out: a random one",
    schema: z
      .string()
      .regex(DEVICE_ID_PATTERN, "must be 1 to 64 of a-z, 0-9 and -")
      .default(() => `ledger-${randomBytes(4).toString("hex")}`),
  },
  decisionsAgeDays: {
    option: "decisions-age-days",
    value: "DAYS",
    help: "decisions and passages are forgotten after this, in the log (which keeps what it was made with) and in histories",
    schema: days(90),
  },
  paymentsAgeDays: {
    option: "payments-age-days",
    value: "DAYS",
    help: "the same for payments",
    schema: days(400),
  },
  model: {
    option: "model",
    value: "FILE",
    help: "signature network; read for its name and sizes only",
    schema: file.default(ours("model/signature.onnx")),
  },
  calibration: {
    option: "calibration",
    value: "FILE",
    help: "false match rates of that network",
    schema: file.default(ours("model/calibration.json")),
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
    schema: z.coerce.number().int().min(0).max(65_535).default(9467),
  },
} as const satisfies Settings;

export type LedgerConfig = Values<typeof SETTINGS>;

/** @throws UsageError */
export const readLedgerConfig = (argv: string[], env = process.env): LedgerConfig =>
  readSettings(SETTINGS, argv, env);
