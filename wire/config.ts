// Settings of a process: command line option, then environment, then default; checked by zod; one frozen object.
// An environment variable that is set to nothing counts as not set: that is how compose files leave one out.
import { parseArgs } from "node:util";
import type { z } from "zod";

export interface Setting {
  /** Option without dashes, e.g. "nats-url"; its environment variable is PALMGATE_NATS_URL. */
  option: string;
  help: string;
  schema: z.ZodType;
  /** A switch takes no value. */
  flag?: boolean;
  /** Takes several values, separated by commas, and may be given again: the schema gets an array. */
  list?: boolean;
  /** Shown as the value's name in --help, e.g. "URL". */
  value?: string;
}

export type Settings = Record<string, Setting>;

export type Values<S extends Settings> = Readonly<{ [K in keyof S]: z.output<S[K]["schema"]> }>;

export class UsageError extends Error {}

const envName = (option: string) => `PALMGATE_${option.toUpperCase().replaceAll("-", "_")}`;

/**
 * Reads settings from argv and the environment.
 * @throws UsageError with a text that names the option and says what it takes
 */
export function readSettings<S extends Settings>(settings: S, argv: string[], env = process.env): Values<S> {
  let given: Record<string, unknown>;
  try {
    const options = Object.fromEntries(
      Object.values(settings).map((s) => [
        s.option,
        { type: s.flag ? ("boolean" as const) : ("string" as const), multiple: s.list === true },
      ]),
    );
    given = parseArgs({ args: argv, options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(`${(error as Error).message} See --help.`);
  }
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(settings)) {
    const raw = given[setting.option] ?? (env[envName(setting.option)] || undefined);
    const parsed = setting.schema.safeParse(givenValue(setting, raw));
    if (!parsed.success) {
      const why = parsed.error.issues.map((issue) => issue.message).join("; ");
      throw new UsageError(`--${setting.option} (or ${envName(setting.option)}): ${why}. See --help.`);
    }
    values[name] = parsed.data;
  }
  return Object.freeze(values) as Values<S>;
}

/** What was given, as the schema takes it. */
function givenValue({ flag, list }: Setting, raw: unknown): unknown {
  if (raw === undefined) return undefined;
  if (flag && typeof raw === "string") return raw !== "false" && raw !== "0";
  if (!list) return raw;
  const values = [raw].flat().flatMap((text) => String(text).split(","));
  return values.map((text) => text.trim()).filter((text) => text !== "");
}

/** The text of --help: usage, what it does, every option with its environment variable and default. */
export function helpText(usage: string, what: string, settings: Settings): string {
  const rows = Object.values(settings).map((s) => {
    const left = `  --${s.option}${s.flag ? "" : ` ${s.value ?? "VALUE"}`}`;
    const fallback = s.schema.safeParse(undefined);
    const value = fallback.success && !s.flag ? String(fallback.data ?? "") : "";
    const shown = value === "" ? "" : ` (default ${value})`;
    return `${left.padEnd(30)} ${s.help}${shown} [${envName(s.option)}]`;
  });
  return [
    `Usage: ${usage}`,
    "",
    what,
    "",
    "Options (each also from the environment variable in brackets):",
    ...rows,
    `${"  --help".padEnd(30)} show this text`,
    "",
  ].join("\n");
}
