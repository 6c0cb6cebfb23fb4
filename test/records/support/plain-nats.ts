// A nats-server as an operator should not run it: without at-rest encryption, so that a test can look at the bytes on
// the disk; and, if wanted, with a quota.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { findNatsServer, type LocalNats } from "../../../wire/nats-server.js";

const START_DEADLINE_MS = 10_000;

export const startPlainNats =
  (limits = "") =>
  async (storeDir: string): Promise<LocalNats> => {
    mkdirSync(storeDir, { recursive: true });
    const configFile = join(storeDir, "plain.conf");
    const portsDir = join(storeDir, "ports");
    const logFile = join(storeDir, "plain.log");
    let port = -1;
    const launch = async () => {
      rmSync(portsDir, { recursive: true, force: true });
      mkdirSync(portsDir);
      writeFileSync(
        configFile,
        `listen: "127.0.0.1:${port}"\nports_file_dir: "${portsDir}"\njetstream { store_dir: "${storeDir}/js"\n${limits}\n}\n`,
      );
      const started = spawn(findNatsServer(), ["-c", configFile, "-l", logFile], { stdio: "ignore" });
      port = await listeningPort(join(portsDir, `nats-server_${started.pid}.ports`));
      return started;
    };
    let child = await launch();
    const end = async (signal: NodeJS.Signals) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill(signal);
      await gone;
    };
    return {
      url: `nats://127.0.0.1:${port}`,
      port,
      logFile,
      stop: () => end("SIGTERM"),
      kill: () => end("SIGKILL"),
      restart: async () => {
        child = await launch();
      },
    };
  };

/** The server writes this file once it listens. */
async function listeningPort(portsFile: string): Promise<number> {
  const deadlineAt = Date.now() + START_DEADLINE_MS;
  while (Date.now() < deadlineAt) {
    const text = existsSync(portsFile) ? readFileSync(portsFile, "utf8") : "";
    const found = /:(\d+)/.exec(text)?.[1];
    if (found) return Number(found);
    await sleep(20);
  }
  throw new Error("nats-server did not say where it listens");
}
