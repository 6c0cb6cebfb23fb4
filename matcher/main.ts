// The matcher: one worker that has some shards, answers searches, tells of members, and applies enrolments and erasures.
//
// This thread owns heartbeat, claim, plan and metrics; search threads own everything of their shards.
// Start: the data folder is claimed and the name checked, then directory, threads, the ops server, and membership, which opens shards. End: the other
// way round, after a farewell and a last second of answers.
import { randomBytes } from "node:crypto";
import { endianness } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { helpText, UsageError } from "../wire/config.js";
import { claimDataFolder } from "../wire/data-folder.js";
import { type Directory, openDirectory } from "../wire/directory.js";
import { type Disposer, opened } from "../wire/disposer.js";
import { openKeyring } from "../wire/keyring.js";
import { openLog } from "../wire/log.js";
import { LogClock } from "../wire/log-clock.js";
import { connectNats } from "../wire/nats.js";
import { openOpsServer } from "../wire/ops-server.js";
import { report, reportsFlushed, STDOUT } from "../wire/report.js";
import { type MatcherConfig, readMatcherConfig, SETTINGS } from "./config.js";
import { openDataFolder } from "./data-folder.js";
import { Membership } from "./membership.js";
import { openMatcherMetrics } from "./metrics.js";
import { CURRENT_MS } from "./shard-group.js";
import { openSearchThreads, type SearchThreads } from "./threads.js";
import { expectNoTwin, watchForTwin } from "./twin.js";
import { keptWorkerId } from "./worker-id.js";

export interface Matcher {
  workerId: string;
  opsPort: number;
  /** Leaves: says so, answers what is under way, and ends within 5 s. */
  close(): Promise<void>;
  /**
   * Rejects when this process must end: with a UsageError when a twin goes first, else because a search thread died,
   * which is a bug: the threads cannot be trusted to end.
   */
  failed: Promise<never>;
}

const INSTANCE_BYTES = 8;
const FLUSH_DEADLINE_MS = 500;
/** After the farewell: whoever had asked us before has both rounds of a search behind them by then. */
const LAST_ANSWERS_MS = 1000;

/** Starts a matcher. What was opened before a failed start is closed again. @throws UsageError */
export async function startMatcher(config: MatcherConfig): Promise<Matcher> {
  // Signatures travel as little-endian numbers and are used where they lie.
  if (endianness() !== "LE") throw new Error("palmgate matcher needs a little-endian machine");
  return await opened(async (disposer) => ({
    ...(await start(config, disposer)),
    close: () => disposer.close(),
  }));
}

async function start(config: MatcherConfig, disposer: Disposer): Promise<Omit<Matcher, "close">> {
  const { natsUrl, masterKey, dataDir, index, mapSizeBytes, threads: threadCount } = config;
  const folder = await claimDataFolder(dataDir);
  disposer.defer(() => folder.release());
  const workerId = config.workerId ?? keptWorkerId(dataDir);
  const instance = randomBytes(INSTANCE_BYTES).toString("hex");
  const self = { workerId, instance, startedUnixMs: Date.now() };
  const log = openLog("matcher", { worker: workerId });
  openDataFolder(dataDir, threadCount, log);
  const nc = await connectNats({ url: natsUrl, name: `matcher ${workerId}`, log });
  disposer.defer(() => nc.close());
  const opening = openDirectory(nc, log).then((open) => {
    disposer.defer(() => open.close());
    return open;
  });
  const [directory] = await Promise.all([opening, expectNoTwin(nc, self, log)]);
  const keyring = openKeyring(masterKey, (name) => directory.organisation(name)?.keys ?? []);
  const clock = LogClock.follow(nc, keyring);
  disposer.defer(() => clock.stop());

  const failure = openFailure();
  let membership: Membership | undefined;
  const metrics = openMatcherMetrics(() => threads.state());
  const threads = openSearchThreads({
    count: threadCount,
    settings: { identity: { workerId, instance }, natsUrl, masterKey, dataDir, engine: index, mapSizeBytes },
    onReport: metrics.add,
    onChanged: () => membership?.changed(),
    onDied: (error) => {
      log.fatal({ error: String(error) }, "a search thread died");
      failure.fail(error);
    },
  });
  disposer.defer(() => threads.stop());
  const notReady = () =>
    membership === undefined ? ["not among the matchers yet"] : missingOf(threads, directory, membership);
  const ops = await openOpsServer({
    host: config.opsHost,
    port: config.opsPort,
    registry: metrics.registry,
    notReady,
  });
  disposer.defer(() => ops.close());
  const started = Promise.race([threads.started, failure.failed]);
  const joined = await Membership.open({ nc, self, directory, clock, threads, started, threadCount, log });
  membership = joined;
  let farewell = true;
  disposer.defer(async () => {
    if (farewell) {
      await joined.leave();
      await sleep(LAST_ANSWERS_MS);
    }
    await joined.stop({ farewell });
  });
  const twin = watchForTwin(nc, self, log, (error) => {
    log.fatal({ twin: workerId }, error.message);
    farewell = false;
    failure.fail(error);
  });
  disposer.defer(() => twin.stop());
  log.info({ opsPort: ops.port, threads: threadCount, index }, "matcher listens");
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

/** What keeps this worker from serving all that it should; nothing for a spare: it is ready to take over. */
function missingOf(threads: SearchThreads, directory: Directory, { slot }: Membership): string[] {
  if (directory.fleet() === undefined) return ["the directory names no fleet yet: palmgate apply"];
  const { ready, held, storeFull, beatAgeMs } = threads.state();
  const missing: string[] = [];
  if (storeFull) missing.push("the disk refuses writes");
  if (beatAgeMs > CURRENT_MS)
    missing.push("no beat of the log was applied lately: cannot know to be current");
  const behind = held.size - ready.size;
  if (behind > 0) missing.push(`${behind} shards catching up`);
  else if (slot !== undefined && held.isEmpty) missing.push("no shards yet");
  return missing;
}

/** `palmgate matcher`: runs until SIGTERM or SIGINT. */
export async function main(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(
      helpText("palmgate matcher [options]", "Holds shards of all galleries and answers searches.", SETTINGS),
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
