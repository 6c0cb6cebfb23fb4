// `palmgate gateway`: reads the settings, starts the gateway, and stops it gently on SIGTERM or SIGINT.
import { helpText, readSettings } from "../wire/config.js";
import { report, STDOUT } from "../wire/report.js";
import { GATEWAY_SETTINGS } from "./config.js";
import { startGateway } from "./gateway.js";

const HELP = helpText(
  "palmgate gateway [options]",
  "The hot path: lanes over WebSocket on /link, and decisions. Keeps nothing; as many as you like, behind any balancer.",
  GATEWAY_SETTINGS,
);

export async function main(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(HELP);
    return 0;
  }
  const gateway = await startGateway(readSettings(GATEWAY_SETTINGS, argv));
  // Before the line that says ready: whoever reads it may signal at once.
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
  });
  const { port, opsPort, transport } = gateway;
  report(STDOUT, `${JSON.stringify({ ready: true, port, opsPort, transport })}\n`);
  await stopped;
  await gateway.close();
  return 0;
}
