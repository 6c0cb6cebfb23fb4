// The ledger: does what must be done once. Several run; one leads, another takes over within seconds.
//
// Start: bus, directory, log, what the duplicate check needs, the ledger, its heartbeat, the ops server. End: backwards.
import { randomBytes } from "node:crypto";
import { openFleet } from "../identify/fleet.js";
import { SearchClient } from "../identify/search.js";
import { similarityBy } from "../identify/thresholds.js";
import { loadCalibration, modelInfo } from "../palm/index.js";
import { openEventLog, openHolders, openSagas, Silence, sandboxProcessor } from "../records/index.js";
import { helpText } from "../wire/config.js";
import { claimDataFolder } from "../wire/data-folder.js";
import { openDirectory } from "../wire/directory.js";
import { opened } from "../wire/disposer.js";
import { openKeyring } from "../wire/keyring.js";
import { openLedgerAnnouncer, watchLedgers } from "../wire/ledgers.js";
import { FLEET_HEARTBEAT_INTERVAL_MS } from "../wire/limits.js";
import { openLog } from "../wire/log.js";
import { LogClock } from "../wire/log-clock.js";
import { connectNats } from "../wire/nats.js";
import { openOpsServer } from "../wire/ops-server.js";
import { report, STDOUT } from "../wire/report.js";
import { type LedgerConfig, readLedgerConfig, SETTINGS } from "./config.js";
import { openLedger } from "./ledger.js";

const DAY_MS = 24 * 60 * 60 * 1000;
const INSTANCE_BYTES = 4;

export interface RunningLedger {
  opsPort: number;
  close(): Promise<void>;
}

/** Resolves when it serves its ops port; /readyz says when it has read what the log held. */
export function startLedger(config: LedgerConfig): Promise<RunningLedger> {
  return opened(async (disposer) => {
    const { ledgerId, dataDir } = config;
    const log = openLog("ledger", { ledger: ledgerId });
    const folder = await claimDataFolder(dataDir);
    disposer.defer(() => folder.release());
    const { modelId } = await modelInfo(config.model);
    const similarityFor = similarityBy(await loadCalibration(config.calibration, modelId));
    const nc = await connectNats({ url: config.natsUrl, name: `ledger ${ledgerId}`, log });
    disposer.defer(() => nc.close());
    const directory = await openDirectory(nc, log);
    disposer.defer(() => directory.close());
    const keyring = openKeyring(config.masterKey, (name) => directory.organisation(name)?.keys ?? []);
    const clock = LogClock.follow(nc, keyring);
    disposer.defer(() => clock.stop());
    const nowUnixMs = () => clock.nowUnixMs();
    const { decisionsAgeDays, paymentsAgeDays } = config;
    const eventLog = await openEventLog(nc, { decisionsAgeDays, paymentsAgeDays });
    const fleet = await openFleet(nc, directory, log);
    disposer.defer(() => fleet.close());
    const search = new SearchClient(nc, fleet, keyring, clock);
    disposer.defer(() => search.close());
    const silence = new Silence(() => fleet.workers().map(({ workerId }) => workerId));
    disposer.defer(fleet.onChange(() => silence.note()));
    const sandbox = sandboxProcessor(nc);
    disposer.defer(() => sandbox.close());
    const instance = randomBytes(INSTANCE_BYTES).toString("hex");
    const ledgers = watchLedgers(nc, () => {}, log);
    disposer.defer(() => ledgers.stop());
    const isAnotherReady = () =>
      [...ledgers.alive().values()].some(({ id, notReady }) => id !== ledgerId && notReady.length === 0);
    const ledger = await openLedger({
      ...{ nc, eventLog, directory, keyring, clock, log, ledgerId, instance, dataDir },
      sagas: openSagas(nc, eventLog, { nowUnixMs, log }),
      holders: openHolders(nc, nowUnixMs),
      ages: { decisionsMs: decisionsAgeDays * DAY_MS, paymentsMs: paymentsAgeDays * DAY_MS },
      processors: [sandbox],
      identify: { search: (request) => search.search(request), similarityFor, modelId },
      isAnotherReady,
      silentMs: (workerId) => silence.ms(workerId),
    });
    disposer.defer(() => ledger.close());
    const announcer = openLedgerAnnouncer(nc, log);
    const heartbeat = setInterval(() => void announcer.say(ledger.state()), FLEET_HEARTBEAT_INTERVAL_MS);
    disposer.defer(async () => {
      clearInterval(heartbeat);
      await announcer.leave(ledgerId);
    });
    void announcer.say(ledger.state());
    const ops = await openOpsServer({
      host: config.opsHost,
      port: config.opsPort,
      registry: ledger.metrics.registry,
      notReady: () => ledger.notReady(),
    });
    disposer.defer(() => ops.close());
    log.info({ opsPort: ops.port }, "ledger listens");
    return { opsPort: ops.port, close: () => disposer.close() };
  });
}

/** `palmgate ledger`: runs until SIGTERM or SIGINT. */
export async function main(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    const what =
      "Does what must be done once: enrolments, erasures, payments to their end, members' histories.";
    report(STDOUT, helpText("palmgate ledger [options]", what, SETTINGS));
    return 0;
  }
  const ledger = await startLedger(readLedgerConfig(argv));
  // Before the ready line: whoever reads it may ask us to end at once.
  const asked = new Promise<void>((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
  });
  report(STDOUT, `${JSON.stringify({ ready: true, opsPort: ledger.opsPort })}\n`);
  await asked;
  await ledger.close();
  return 0;
}
