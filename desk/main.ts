// `palmgate desk`: reads the settings, starts the desk, and stops it gently on SIGTERM or SIGINT.
import { helpText, readSettings } from "../wire/config.js";
import { startDesk } from "./desk.js";
import { DESK_SETTINGS } from "./settings.js";

const HELP = helpText(
  "palmgate desk [options]",
  "The control plane: the API on /api/v1, pages for people, and one address for lanes: /link is handed on to a gateway.",
  DESK_SETTINGS,
);

export async function main(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(HELP);
    return 0;
  }
  const desk = await startDesk(readSettings(DESK_SETTINGS, argv));
  // Before the line that says ready: whoever reads it may signal at once.
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
  });
  const { port, opsPort } = desk;
  process.stdout.write(`${JSON.stringify({ ready: true, port, opsPort })}\n`);
  await stopped;
  await desk.close();
  return 0;
}
