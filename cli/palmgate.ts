#!/usr/bin/env node
// The command line: `palmgate <command> [options]`. A table of commands and nothing else; each command loads only
// what it needs, reads its own options, and answers with an exit code.
import { UsageError } from "../wire/config.js";
import { report, reportsFlushed, STDERR } from "../wire/report.js";

interface Command {
  what: string;
  load: () => Promise<(argv: string[]) => Promise<number>>;
}

/** What is one question to a desk. */
function ofDesk(name: string, what: string): Record<string, Command> {
  return { [name]: { what, load: async () => (await import("./desk-commands.js")).deskCommand(name, what) } };
}

const COMMANDS: Record<string, Command> = {
  demo: {
    what: "a whole site on this machine: palms present themselves, gates open",
    load: async () => (await import("./demo/main.js")).main,
  },
  gateway: {
    what: "the hot path: lanes and their decisions, and nothing else",
    load: async () => (await import("../gateway/main.js")).main,
  },
  matcher: {
    what: "a worker that holds shards of all galleries and answers searches",
    load: async () => (await import("../matcher/main.js")).main,
  },
  ledger: {
    what: "does what is done once: enrolments, erasures, payments to their end, history",
    load: async () => (await import("../ledger/main.js")).main,
  },
  desk: {
    what: "the control plane: API, pages for people, one address for lanes",
    load: async () => (await import("../desk/main.js")).main,
  },
  edge: {
    what: "the agent of one lane: camera, link to the gateway, gate",
    load: async () => (await import("../edge-agent/main.js")).main,
  },
  apply: {
    what: "bring organisations, galleries, sites and devices of a file into the fleet",
    load: async () => (await import("./apply.js")).run,
  },
  enrol: { what: "enrol a member from captures", load: async () => (await import("./enrol.js")).run },
  erase: {
    what: "erase a member for good and keep the receipt",
    load: async () => (await import("./erase.js")).run,
  },
  pass: {
    what: "a link with which a browser becomes a lane, or a person enrols themselves",
    load: async () => (await import("./pass.js")).run,
  },
  "verify-receipt": {
    what: "check an erasure receipt",
    load: async () => (await import("./verify-receipt.js")).run,
  },
  ...ofDesk("status", "what runs, and whether it is well"),
  ...ofDesk("members show", "one member"),
  ...ofDesk("members history", "a member's latest uses"),
  ...ofDesk("devices list", "lanes that may connect"),
  ...ofDesk("devices revoke", "a lane is nobody from here on"),
  ...ofDesk("passes list", "passes that are not forgotten yet"),
  ...ofDesk("passes revoke", "a pass is good for nothing from here on"),
  ...ofDesk("payments show", "how a payment stands"),
  ...ofDesk("payments refund", "give a captured payment back, whole"),
  "drill gateways": {
    what: "kill every process at random moments of a run, and judge by the books",
    load: async () => (await import("./drill/gateways.js")).run,
  },
  "bench accuracy": {
    what: "error rates on a folder of palms",
    load: async () => (await import("../bench/accuracy.js")).run,
  },
  "bench quality": {
    what: "does the quality score predict matching?",
    load: async () => (await import("../bench/quality.js")).run,
  },
  "bench roi": {
    what: "whole hands: found, cut and compared; how steady, at what cost",
    load: async () => (await import("../bench/roi.js")).run,
  },
  "bench search": {
    what: "index against exact search: agreement and cost",
    load: async () => (await import("../bench/search.js")).run,
  },
  "bench pipeline": {
    what: "what a decision costs beyond its bare stages",
    load: async () => (await import("../bench/pipeline.js")).run,
  },
};

const HELP = [
  "Usage: palmgate <command> [options]",
  "",
  "Commands ('palmgate <command> --help' tells each one's options):",
  ...Object.entries(COMMANDS).map(([name, { what }]) => `  ${name.padEnd(16)} ${what}`),
  "",
].join("\n");

/** Other spellings of a command. */
const SPELLINGS: Record<string, string> = { enroll: "enrol" };
/** Words that a command's name begins with. */
const GROUPS = new Set(["bench", "drill", "members", "devices", "passes", "payments"]);
const FLUSH_DEADLINE_MS = 500;
const USAGE_EXIT_CODE = 2;
const isHelp = (word: string) => ["--help", "-h", "help"].includes(word);

async function main(argv: string[]): Promise<number> {
  const [first = "--help", second = "--help"] = argv;
  const isGroup = GROUPS.has(first);
  if (isHelp(first) || (isGroup && isHelp(second))) {
    process.stdout.write(HELP);
    return 0;
  }
  const [name, rest] = isGroup ? [`${first} ${second}`, argv.slice(2)] : [first, argv.slice(1)];
  const command = COMMANDS[SPELLINGS[name] ?? name];
  if (!command) {
    report(STDERR, `palmgate: there is no command '${name.trim()}'.\n\n${HELP}`);
    return USAGE_EXIT_CODE;
  }
  try {
    return await (await command.load())(rest);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    report(STDERR, `palmgate ${name}: ${error.message}\n`);
    return USAGE_EXIT_CODE;
  }
}

process.exitCode = await main(process.argv.slice(2));
// A reader of our lines that has fallen asleep would keep the process for ever.
if (!(await reportsFlushed(FLUSH_DEADLINE_MS))) process.exit();
