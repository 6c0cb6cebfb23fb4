// The matcher: one worker that holds some partitions, answers searches and applies enrolments and erasures.
//
// This thread owns heartbeat, assignment and metrics; partition threads own everything of their partitions.
// Start: the data folder is claimed and the name checked, then threads, the ops server, and membership, which opens
// partitions. End: the other way round.
import { randomUUID } from "node:crypto";
import { endianness } from "node:os";
import { helpText, UsageError } from "../wire/config.js";
import { claimDataFolder } from "../wire/data-folder.js";
import { openLog } from "../wire/log.js";
import { connectNats } from "../wire/nats.js";
import { openOpsServer } from "../wire/ops-server.js";
import { report, reportsFlushed, STDOUT } from "../wire/report.js";
import { type MatcherConfig, readMatcherConfig, SETTINGS } from "./config.js";
import { Membership } from "./membership.js";
import { openMatcherMetrics } from "./metrics.js";
import { refKey } from "./plan.js";
import { openPartitionThreads, type PartitionThreads } from "./threads.js";
import { expectNoTwin, watchForTwin } from "./twin.js";
import { keptWorkerId } from "./worker-id.js";

export interface Matcher {
  workerId: string;
  opsPort: number;
  /** Leaves: others take over first. */
  close(): Promise<void>;
  /**
   * Rejects when this process must end: with a UsageError when a twin goes first (close() then says no farewell), else
   * because a partition thread died, which is a bug: the threads cannot be trusted to end.
   */
  failed: Promise<never>;
}

type Closers = (() => void | Promise<void>)[];

const NOT_READY_SHOWN = 10;
const FLUSH_DEADLINE_MS = 500;

/** Starts a matcher. What was opened before a failed start is closed again. @throws UsageError */
export async function startMatcher(config: MatcherConfig): Promise<Matcher> {
  // Signatures travel as little-endian numbers and are used where they lie.
  if (endianness() !== "LE") throw new Error("palmgate matcher needs a little-endian machine");
  const closers: Closers = [];
  const close = async () => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer();
  };
  try {
    return { ...(await open(config, closers)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function open(config: MatcherConfig, closers: Closers): Promise<Omit<Matcher, "close">> {
  const { natsUrl, masterKey, dataDir, index, mapSizeBytes } = config;
  const folder = await claimDataFolder(dataDir);
  closers.push(() => folder.release());
  const workerId = config.workerId ?? keptWorkerId(dataDir);
  const self = { workerId, instanceId: randomUUID(), startedUnixMs: Date.now() };
  const log = openLog("matcher", { worker: workerId });
  const nc = await connectNats({ url: natsUrl, name: `matcher ${workerId}`, log });
  closers.push(() => nc.close());
  await expectNoTwin(nc, self, log);

  const failure = openFailure();
  let membership: Membership | undefined;
  const metrics = openMatcherMetrics(() => threads.held());
  const threads = openPartitionThreads({
    count: config.threads,
    settings: { natsUrl, masterKey, workerId, dataDir, engine: index, mapSizeBytes },
    onReport: metrics.add,
    onChanged: () => membership?.changed(),
    onDied: (error) => {
      log.fatal({ error: String(error) }, "a partition thread died");
      failure.fail(error);
    },
  });
  const ops = await openOpsServer({
    host: config.opsHost,
    port: config.opsPort,
    registry: metrics.registry,
    notReady: () => (membership === undefined ? ["not among the matchers yet"] : missingOf(threads)),
  });
  closers.push(
    () => ops.close(),
    () => threads.stop(),
  );
  const twin = watchForTwin(nc, self, log, (error) => {
    log.fatal({ twin: workerId }, error.message);
    membership?.stop();
    failure.fail(error);
  });
  closers.push(() => twin.stop());
  membership = await Membership.open({ nc, self, threads, log });
  const joined = membership;
  closers.push(() => joined.leave());
  log.info({ opsPort: ops.port, threads: config.threads, index }, "matcher listens");
  return { workerId, opsPort: ops.port, failed: failure.failed };
}

function openFailure(): { failed: Promise<never>; fail(error: Error): void } {
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  failed.catch(() => {}); // whoever started us races it; until then it is not unhandled
  return { failed, fail };
}

function missingOf(threads: PartitionThreads): string[] {
  const missing = threads.held().filter((each) => !each.ready);
  const shown = missing.slice(0, NOT_READY_SHOWN).map((each) => `partition ${refKey(each)} catching up`);
  const rest = missing.length - shown.length;
  return rest > 0 ? [...shown, `${rest} more partitions`] : shown;
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
  } catch (error) {
    if (error instanceof UsageError) {
      await matcher.close();
      throw error;
    }
    // Logged already; the other threads cannot be trusted to end.
    await reportsFlushed(FLUSH_DEADLINE_MS);
    process.exit(1);
  }
  await matcher.close();
  return 0;
}
