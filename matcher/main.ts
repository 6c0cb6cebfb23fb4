// The matcher: one worker that holds some partitions, answers searches and applies enrolments and erasures.
//
// This thread owns heartbeat, assignment and metrics; partition threads own everything of their partitions.
// Start: threads, then membership (which opens partitions), then the ops server. End: the other way round.
import { endianness } from "node:os";
import { helpText } from "../wire/config.js";
import { openLog } from "../wire/log.js";
import { connectNats } from "../wire/nats.js";
import { openOpsServer } from "../wire/ops-server.js";
import { report, STDOUT } from "../wire/report.js";
import { type MatcherConfig, readMatcherConfig, SETTINGS } from "./config.js";
import { Membership } from "./membership.js";
import { openMatcherMetrics } from "./metrics.js";
import { refKey } from "./plan.js";
import { openPartitionThreads } from "./threads.js";

export interface Matcher {
  workerId: string;
  opsPort: number;
  /** Leaves: others take over first. */
  close(): Promise<void>;
  /** Rejects when a partition thread died: a bug; the process must end and be started again. */
  failed: Promise<never>;
}

const NOT_READY_SHOWN = 10;

export async function startMatcher(config: MatcherConfig): Promise<Matcher> {
  // Signatures travel as little-endian numbers and are used where they lie.
  if (endianness() !== "LE") throw new Error("palmgate matcher needs a little-endian machine");
  const { natsUrl, masterKey, dataDir, workerId, index, mapSizeBytes } = config;
  const log = openLog("matcher", { worker: workerId });
  const nc = await connectNats({ url: natsUrl, name: `matcher ${workerId}`, log });
  let membership: Membership | undefined;
  let die: (error: Error) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    die = reject;
  });
  failed.catch((error: unknown) => log.fatal({ error: String(error) }, "a partition thread died"));
  const metrics = openMatcherMetrics(() => threads.held());
  const threads = openPartitionThreads({
    count: config.threads,
    settings: { natsUrl, masterKey, workerId, dataDir, engine: index, mapSizeBytes },
    onReport: metrics.add,
    onChanged: () => membership?.changed(),
    onDied: die,
  });
  membership = await Membership.open({ nc, workerId, threads, log });
  const ops = await openOpsServer({
    host: config.opsHost,
    port: config.opsPort,
    registry: metrics.registry,
    notReady: () => {
      const missing = threads.held().filter((each) => !each.ready);
      const shown = missing.slice(0, NOT_READY_SHOWN).map((each) => `partition ${refKey(each)} catching up`);
      const rest = missing.length - shown.length;
      return rest > 0 ? [...shown, `${rest} more partitions`] : shown;
    },
  });
  log.info({ opsPort: ops.port, threads: config.threads, index }, "matcher listens");
  const open = membership;
  return {
    workerId,
    opsPort: ops.port,
    failed,
    close: async () => {
      await open.leave();
      await threads.stop();
      await ops.close();
      await nc.close();
    },
  };
}

/** `palmgate matcher`: runs until SIGTERM or SIGINT. */
export async function main(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(
      helpText("palmgate matcher [options]", "Holds partitions of galleries and answers searches.", SETTINGS),
    );
    return 0;
  }
  const matcher = await startMatcher(readMatcherConfig(argv));
  // Before the ready line: whoever reads it may ask us to end at once.
  const asked = new Promise<void>((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
  });
  report(STDOUT, `${JSON.stringify({ ready: true, opsPort: matcher.opsPort })}\n`);
  try {
    await Promise.race([asked, matcher.failed]);
  } catch {
    process.exit(1); // already logged; the other threads cannot be trusted to end
  }
  await matcher.close();
  return 0;
}
