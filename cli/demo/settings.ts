// The demo's options.
import { z } from "zod";
import type { Settings, Values } from "../../wire/config.js";

const DURATION = /^(\d+)(s|m)$/;
const SECONDS = { s: 1, m: 60 } as const;

export const DEMO_SETTINGS = {
  palms: {
    option: "palms",
    value: "DIR",
    help: "real images instead of synthetic hands at the lanes: one folder per palm, files <session>_<sample>.png",
    schema: z.string().min(1).optional(),
  },
  hands: {
    option: "hands",
    flag: true,
    help: "the images of --palms show whole hands, not cut palms",
    schema: z.boolean().default(false),
  },
  forMs: {
    option: "for",
    value: "TIME",
    help: "end by itself after that long, e.g. 20s or 2m (else with Ctrl-C)",
    schema: z
      .string()
      .regex(DURATION, "takes a time such as 20s or 2m")
      .transform((text) => {
        const [, count = "0", unit = "s"] = DURATION.exec(text) ?? [];
        return Number(count) * SECONDS[unit as keyof typeof SECONDS] * 1000;
      })
      .optional(),
  },
  json: {
    option: "json",
    flag: true,
    help: "one JSON summary on stdout at the end",
    schema: z.boolean().default(false),
  },
  members: {
    option: "members",
    value: "N",
    help: "synthetic members to enrol",
    schema: z.coerce.number().int().min(1).max(100_000).default(1000),
  },
  port: {
    option: "port",
    value: "PORT",
    help: "port of the live page; 0: a free one",
    schema: z.coerce.number().int().min(0).max(65_535).default(8080),
  },
  pauseMs: {
    option: "pause-ms",
    value: "MS",
    help: "rest of a lane between two people",
    schema: z.coerce.number().int().min(0).max(60_000).default(400),
  },
} as const satisfies Settings;

export type DemoConfig = Values<typeof DEMO_SETTINGS>;
