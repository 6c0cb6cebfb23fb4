// What `palmgate edge` can be told, and what it makes of it.
import { readFileSync } from "node:fs";
import { z } from "zod";
import { readSettings, UsageError, type Values } from "../wire/config.js";
import { DEVICE_ID_PATTERN, MAX_AMOUNT_MINOR } from "../wire/limits.js";
import { CAPTURE_SIZE_PATTERN } from "./camera/ffmpeg.js";
import { DEFAULT_HOLD_MS, MAX_HOLD_MS } from "./gates/command.js";
import { SOURCE_PATTERN } from "./source/open.js";

const MAX_GATEWAYS = 16;
const gatewayUrl = z.url({
  protocol: /^(ws|wss|http|https)$/,
  error: "must be a ws://, wss://, http:// or https:// address",
});

const milliseconds = z.coerce.number().int().min(0).max(3_600_000);

export const EDGE_SETTINGS = {
  gateways: {
    option: "gateway",
    value: "URL,URL,...",
    list: true,
    help: "the gateways' addresses, in the order in which they are tried; may be given again",
    schema: z
      .array(gatewayUrl)
      .min(1, "must be at least one address")
      .max(MAX_GATEWAYS, `must be at most ${MAX_GATEWAYS} addresses`)
      .default(["http://127.0.0.1:8080"]),
  },
  deviceId: {
    option: "device-id",
    value: "ID",
    help: "this lane's id in the device registry",
    schema: z.string("is needed").regex(DEVICE_ID_PATTERN, "must be 1 to 64 of a-z, 0-9 and -"),
  },
  deviceKey: {
    option: "device-key",
    value: "FILE",
    help: "PEM file with this lane's private key",
    schema: z.string("is needed; make a key with --make-key FILE"),
  },
  source: {
    option: "source",
    value: "SOURCE",
    help: "camera:/dev/video0, camera:rtsp://..., camera:FILE, DIR/<palm>/<session>_<sample>.png|jpg|bmp, or synthetic:SEED[:PALMS]",
    schema: z
      .string()
      .regex(SOURCE_PATTERN, "must be camera:ADDRESS, a folder or synthetic:SEED[:PALMS]")
      .default("synthetic:1"),
  },
  hands: {
    option: "hands",
    flag: true,
    help: "a folder's images are of whole hands: the palm is found and cut out here",
    schema: z.boolean().default(false),
  },
  cameraSize: {
    option: "camera-size",
    value: "WxH",
    help: "asked of a camera; larger images are scaled down to its longer side",
    schema: z
      .string()
      .regex(CAPTURE_SIZE_PATTERN, "must be like 640x480, at most 1920 to a side")
      .default("640x480"),
  },
  cameraFps: {
    option: "camera-fps",
    value: "N",
    help: "images a second that the agent takes of a camera at most",
    schema: z.coerce.number().int().min(1).max(60).default(15),
  },
  cameraLight: {
    option: "camera-light",
    value: "LIGHT",
    help: "what a camera sees by: visible or nir (near infrared)",
    schema: z.enum(["visible", "nir"]).default("visible"),
  },
  session: {
    option: "session",
    value: "NAME",
    help: "of a folder, only this session's images",
    schema: z.string().optional(),
  },
  send: {
    option: "send",
    value: "ENCODING",
    help: "how images of a folder travel: gray8, jpeg or png",
    schema: z.enum(["gray8", "jpeg", "png"]).default("gray8"),
  },
  intervalMs: {
    option: "interval-ms",
    value: "MS",
    help: "rest between two presentations; 1000 unless a camera is the source, which waits for the next hand",
    schema: milliseconds.optional(),
  },
  count: {
    option: "count",
    value: "N",
    help: "end after N presentations (0: never)",
    schema: z.coerce.number().int().min(0).default(0),
  },
  chargeMinor: {
    option: "charge-minor",
    value: "AMOUNT",
    help: "PAY lanes: what each palm pays, in the currency's minor unit",
    schema: z.coerce.number().int().min(1).max(MAX_AMOUNT_MINOR).optional(),
  },
  chargeCurrency: {
    option: "charge-currency",
    value: "CODE",
    help: "PAY lanes: ISO 4217",
    schema: z
      .string()
      .regex(/^[A-Z]{3}$/, "must be three capitals")
      .default("EUR"),
  },
  onOpen: {
    option: "on-open",
    value: "COMMAND",
    help: "command that opens the gate; it reads PALMGATE_* variables and ends with 0, or runs while the gate is open",
    schema: z.string().min(1).optional(),
  },
  holdMs: {
    option: "hold-ms",
    value: "MS",
    help: "how long the gate stays open: then on-open is ended where it still runs, and on-close is run",
    schema: z.coerce.number().int().min(100).max(MAX_HOLD_MS).default(DEFAULT_HOLD_MS),
  },
  onClose: {
    option: "on-close",
    value: "COMMAND",
    help: "command that shuts the gate: after the hold, when the lane ends, and once at start",
    schema: z.string().min(1).optional(),
  },
  journalDir: {
    option: "journal-dir",
    value: "DIR",
    help: "folder (0700) of one agent that keeps passages until they are on record: ids and tokens, nothing of a palm",
    schema: z.string().min(1).optional(),
  },
  ca: {
    option: "ca",
    value: "FILE",
    help: "PEM file of the authorities to trust for wss, instead of the system's",
    schema: z.string().optional(),
  },
  host: {
    option: "host",
    value: "ADDRESS",
    help: "where /metrics, /healthz and /readyz listen",
    schema: z.string().default("127.0.0.1"),
  },
  opsPort: {
    option: "ops-port",
    value: "PORT",
    help: "port of /metrics, /healthz and /readyz; 0 picks a free one",
    schema: z.coerce.number().int().min(0).max(65535).default(0),
  },
  json: {
    option: "json",
    flag: true,
    help: "one JSON object a line on stdout",
    schema: z.boolean().default(false),
  },
  makeKey: {
    option: "make-key",
    value: "FILE",
    help: "make a device key in a new FILE, print its public half, and end",
    schema: z.string().optional(),
  },
};

export type EdgeSettings = Values<typeof EDGE_SETTINGS>;

/** The file of `--make-key`, which needs no other setting. @throws UsageError */
export function keyFileToMake(argv: string[]): string | undefined {
  const option = `--${EDGE_SETTINGS.makeKey.option}`;
  if (!argv.some((each) => each === option || each.startsWith(`${option}=`))) return undefined;
  return readSettings({ makeKey: EDGE_SETTINGS.makeKey }, argv).makeKey;
}

/** @throws UsageError */
export function readEdgeSettings(argv: string[]): EdgeSettings {
  const settings = readSettings(EDGE_SETTINGS, argv);
  if (settings.onClose !== undefined && settings.onOpen === undefined) {
    throw new UsageError("--on-close shuts what --on-open has opened: give both.");
  }
  return settings;
}

/** PEM text of the authorities to trust; undefined: the system's. @throws UsageError */
export function readAuthorities(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`--ca: ${(error as Error).message}`);
  }
}
