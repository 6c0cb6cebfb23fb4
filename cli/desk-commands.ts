// What operators ask of a desk on the command line, beside enrolments and passes: members, devices, passes, payments, the
// fleet. Each is one call of the API; lists are read to their end. A table for people, JSON with --json.
import { z } from "zod";
import { helpText, readSettings, type Settings, UsageError } from "../wire/config.js";
import { type ApiAnswer, OPERATOR_SETTINGS, type OperatorApi, operatorApi } from "./operator-api.js";

const SETTINGS = {
  ...OPERATOR_SETTINGS,
  json: { option: "json", flag: true, help: "JSON instead of a table", schema: z.boolean().default(false) },
} satisfies Settings;

/** Pages of a list; more than any list has. */
const MAX_PAGES = 10_000;

interface DeskCommand {
  /** Takes the id of something. */
  takes?: string;
  ask(api: OperatorApi, id: string): Promise<ApiAnswer<unknown>>;
}

const list = (path: string, field: string) => (api: OperatorApi) => allOf(api, path, field);
const get = (path: (id: string) => string) => (api: OperatorApi, id: string) =>
  api.get(path(encodeURIComponent(id)));

const COMMANDS: Record<string, DeskCommand> = {
  status: { ask: get(() => "/api/v1/status") },
  "members show": { takes: "MEMBER", ask: get((id) => `/api/v1/members/${id}`) },
  "members history": { takes: "MEMBER", ask: get((id) => `/api/v1/members/${id}/history`) },
  "devices list": { ask: list("/api/v1/devices", "devices") },
  "devices revoke": { takes: "DEVICE", ask: (api, id) => api.revoke(id) },
  "passes list": { ask: list("/api/v1/passes", "passes") },
  "passes revoke": {
    takes: "PASS",
    ask: (api, id) => api.remove(`/api/v1/passes/${encodeURIComponent(id)}`),
  },
  "payments show": { takes: "PRESENTATION", ask: get((id) => `/api/v1/payments/${id}`) },
  "payments refund": {
    takes: "PRESENTATION",
    ask: (api, id) => api.post(`/api/v1/payments/${encodeURIComponent(id)}/refund`),
  },
};

/** @param name of COMMANDS @param what it does, in a few words */
export const deskCommand =
  (name: string, what: string) =>
  async (argv: string[]): Promise<number> => {
    const command = COMMANDS[name];
    if (command === undefined) throw new Error(`there is no command '${name}'`);
    const { takes } = command;
    if (argv.includes("--help")) {
      const usage = `palmgate ${name}${takes === undefined ? "" : ` ${takes}`} [options]`;
      process.stdout.write(helpText(usage, what, SETTINGS));
      return 0;
    }
    const [first = ""] = argv;
    const id = takes === undefined || first.startsWith("--") ? "" : first;
    if (takes !== undefined && id === "") throw new UsageError(`${takes} is needed. See --help.`);
    const settings = readSettings(SETTINGS, takes === undefined ? argv : argv.slice(1));
    const answer = await command.ask(
      operatorApi(settings.desk, settings.operatorToken, settings.organisation),
      id,
    );
    if (!answer.ok) {
      process.stderr.write(`palmgate ${name}: ${answer.code}: ${answer.message} ${answer.next}\n`);
      return 1;
    }
    process.stdout.write(settings.json ? `${JSON.stringify(answer.body, null, 2)}\n` : tableOf(answer.body));
    return 0;
  };

async function allOf(api: OperatorApi, path: string, field: string): Promise<ApiAnswer<unknown>> {
  const entries: unknown[] = [];
  let cursor = "";
  for (let pages = 0; pages < MAX_PAGES; pages++) {
    const query = new URLSearchParams({ limit: "200", ...(cursor === "" ? {} : { cursor }) });
    const answer = await api.get<Record<string, unknown>>(`${path}?${query}`);
    if (!answer.ok) return answer;
    const { [field]: page, nextCursor } = answer.body;
    if (Array.isArray(page)) entries.push(...page);
    if (typeof nextCursor !== "string") return { ...answer, body: entries };
    cursor = nextCursor;
  }
  throw new Error(`${path} has no end`);
}

/** A list as rows under the names of its fields; one thing as a line for each field. */
export function tableOf(value: unknown): string {
  if (Array.isArray(value)) return rowsOf(value);
  if (typeof value !== "object" || value === null) return `${wordOf(value)}\n`;
  const entries = Object.entries(value);
  const width = Math.max(0, ...entries.map(([name]) => name.length));
  return entries
    .map(([name, each]) => {
      const isList = Array.isArray(each) && each.some((entry) => typeof entry === "object");
      return isList ? `${name}\n${indented(rowsOf(each))}` : `${name.padEnd(width)}  ${wordOf(each)}\n`;
    })
    .join("");
}

function rowsOf(list: readonly unknown[]): string {
  if (list.length === 0) return "none\n";
  const rows = list.map((each) =>
    typeof each === "object" && each !== null ? Object.entries(each) : [["", each]],
  );
  const names = [...new Set(rows.flatMap((row) => row.map(([name]) => String(name))))];
  const cells = rows.map((row) => {
    const fields = new Map(row.map(([name, each]) => [String(name), wordOf(each)]));
    return names.map((name) => fields.get(name) ?? "");
  });
  const widths = names.map((name, at) => Math.max(name.length, ...cells.map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join("  ")
      .trimEnd();
  return `${[names, ...cells].map(line).join("\n")}\n`;
}

const indented = (text: string): string => text.replaceAll(/^(?=.)/gm, "  ");

function wordOf(value: unknown): string {
  if (value === null || value === undefined) return "-";
  if (Array.isArray(value)) return value.map(wordOf).join(",");
  if (typeof value !== "object") return String(value);
  return Object.entries(value)
    .map(
      ([name, each]) =>
        `${name}=${typeof each === "object" && each !== null ? `(${wordOf(each)})` : wordOf(each)}`,
    )
    .join(" ");
}
