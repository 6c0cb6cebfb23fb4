// Puts the desk together, and takes it apart again. Nothing is decided here.
//
// Invariants (test/desk/desk.test.ts):
// - it listens only when everything behind it is open; what was opened before a failed start is closed again;
// - it keeps nothing: any of several desks answers the same, and any may die at any moment.
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { openFleet } from "../identify/fleet.js";
import { MemberClient } from "../identify/members.js";
import { similarityBy } from "../identify/thresholds.js";
import { loadCalibration, modelInfo, SignerPool } from "../palm/index.js";
import { openEventLog, openHolders, openSagas, ServedBy, Silence } from "../records/index.js";
import { UsageError } from "../wire/config.js";
import { openDirectory } from "../wire/directory.js";
import { type Disposer, opened } from "../wire/disposer.js";
import { type GatewayState, watchGateways } from "../wire/gateways.js";
import { openKeyring } from "../wire/keyring.js";
import { openLaneBook } from "../wire/lane-book.js";
import { type LedgerState, watchLedgers } from "../wire/ledgers.js";
import { followLink } from "../wire/link.js";
import { type Log, openLog } from "../wire/log.js";
import { LogClock } from "../wire/log-clock.js";
import { connectNats } from "../wire/nats.js";
import { openOpsServer } from "../wire/ops-server.js";
import { type Access, clientAddress, openAccess, WRONG_TOKENS } from "./access.js";
import { openApp } from "./app.js";
import { deviceRoutes } from "./devices/routes.js";
import { Enroller } from "./enrolment/enroller.js";
import { enrolmentRoutes } from "./enrolment/routes.js";
import type { App } from "./fastify.js";
import { fleetRoutes } from "./fleet/routes.js";
import { notReady, type StatusSources, statusOf } from "./fleet/status.js";
import { openHandoff } from "./link-handoff.js";
import { DecisionFeed } from "./live/feed.js";
import { openLive } from "./live/live.js";
import { Eraser } from "./members/eraser.js";
import { Members } from "./members/members.js";
import { memberRoutes } from "./members/routes.js";
import { type DeskMetrics, openMetrics } from "./metrics.js";
import { servePages } from "./pages/pages.js";
import { openAuthorities } from "./passes/authority.js";
import { Passes, WRONG_CODES } from "./passes/passes.js";
import { passRoutes } from "./passes/routes.js";
import { paymentRoutes } from "./payments/routes.js";
import { type DeskConfig, tlsOf } from "./settings.js";
import { shareThrottles } from "./throttle.js";
import { routeUpgrades } from "./upgrades.js";

const MAX_QUEUED_CAPTURES = 64;

export interface Desk {
  port: number;
  opsPort: number;
  close(): Promise<void>;
}

/** Starts a desk. @throws UsageError for wrong configuration */
export function startDesk(config: DeskConfig): Promise<Desk> {
  return opened(async (disposer) => {
    const log = openLog("desk");
    const metrics = openMetrics();
    const tls = tlsOf(config);
    const parts = await openParts(config, disposer, log);
    const throttles = shareThrottles(parts.nats, parts.keyring.busKey("tries", ""));
    disposer.defer(throttles.close);
    const access = openAccess(config.operatorToken, throttles.open("tokens", WRONG_TOKENS));
    const { requestsPerMinute, trustedProxies } = config;
    const app = await openApp({ log, metrics, access, tls, trustedProxies, requestsPerMinute });
    disposer.defer(() => app.close());
    const passes = new Passes({
      nats: parts.nats,
      key: parts.keyring.busKey("pass-codes", ""),
      throttle: throttles.open("passes", WRONG_CODES),
      metrics,
      log,
    });
    registerRoutes(app, config, { parts, passes, log });
    await servePages(app);
    const links = takeUpgrades(app, config, { parts, access, metrics, disposer });
    metrics.observe({ signers: () => parts.signers.stats(), ...links });
    const { host: opsHost, port: opsPort } = { host: config.opsHost, port: config.opsPort };
    const registry = metrics.registry;
    const ops = await openOpsServer({
      host: opsHost,
      port: opsPort,
      registry,
      notReady: () => notReady(parts.sources),
    });
    disposer.defer(() => ops.close());
    const port = await listen(app, config);
    log.info({ port, opsPort: ops.port, tls: tls !== undefined }, "desk listens");
    return { port, opsPort: ops.port, close: () => disposer.close() };
  });
}

type Parts = Awaited<ReturnType<typeof openParts>>;

/** What stands behind the API: NATS, the log, the directory, the fleet, signers. */
async function openParts(config: DeskConfig, disposer: Disposer, log: Log) {
  const { modelId } = await modelInfo(config.model);
  const similarityFor = similarityBy(await loadCalibration(config.calibration, modelId));
  const nats = await connectNats({ url: config.natsUrl, name: "palmgate-desk", log });
  disposer.defer(() => nats.close());
  const linkUp = followLink(nats);
  const directory = await openDirectory(nats, log);
  disposer.defer(() => directory.close());
  const keyring = openKeyring(config.masterKey, (name) => directory.organisation(name)?.keys ?? []);
  const eventLog = await openEventLog(nats);
  const clock = LogClock.follow(nats, keyring);
  disposer.defer(() => clock.stop());
  const fleet = await openFleet(nats, directory, log);
  disposer.defer(() => fleet.close());
  const silence = new Silence(() => fleet.workers().map(({ workerId }) => workerId));
  disposer.defer(fleet.onChange(() => silence.note()));
  const served = new ServedBy({
    nc: nats,
    holders: openHolders(nats, () => clock.nowUnixMs()),
    silentMs: (workerId) => silence.ms(workerId),
  });
  const lanes = openLaneBook(nats, log);
  disposer.defer(() => lanes.close());
  const heard = watchOthers(nats, disposer, log);
  const signers = await SignerPool.open({
    modelPath: config.model,
    threads: config.signerThreads,
    maxQueued: MAX_QUEUED_CAPTURES,
  });
  disposer.defer(() => signers.close());
  const sagas = openSagas(nats, eventLog, { nowUnixMs: () => clock.nowUnixMs(), log });
  const sources: StatusSources = { modelId, directory, fleet, lanes, clock, ...heard, linkUp };
  return {
    nats,
    directory,
    keyring,
    eventLog,
    clock,
    fleet,
    served,
    lanes,
    signers,
    sagas,
    modelId,
    similarityFor,
    sources,
  };
}

/** Gateways and ledgers, as their heartbeats tell of them. */
function watchOthers(nats: Parameters<typeof watchGateways>[0], disposer: Disposer, log: Log) {
  let gateways: readonly GatewayState[] = [];
  let ledgers: readonly LedgerState[] = [];
  const gatewayWatch = watchGateways(nats, (all) => (gateways = all), log);
  disposer.defer(() => gatewayWatch.stop());
  const ledgerWatch = watchLedgers(nats, (all) => (ledgers = all), log);
  disposer.defer(() => ledgerWatch.stop());
  return { gateways: () => gateways, ledgers: () => ledgers };
}

function registerRoutes(
  app: App,
  { publicUrl }: DeskConfig,
  { parts, passes, log }: { parts: Parts; passes: Passes; log: Log },
): void {
  const { nats, directory, keyring, eventLog, fleet, served, lanes, sagas, sources } = parts;
  const client = new MemberClient(nats, fleet, keyring);
  const members = new Members({ eventLog, keyring, client, served, directory });
  const authorities = openAuthorities(keyring);
  const enroller = new Enroller(parts);
  const eraser = new Eraser(parts);
  enrolmentRoutes(app, { enroller, members, passes, authorities, directory, keyring });
  memberRoutes(app, { nats, members, eraser, authorities, directory });
  passRoutes(app, { passes, directory, publicUrl });
  deviceRoutes(app, { directory, lanes, passes, log });
  paymentRoutes(app, { eventLog, sagas, directory });
  fleetRoutes(app, { directory, status: (organisation) => statusOf(sources, organisation) });
}

/** What comes for /live is ours; what comes for /link is a gateway's. */
function takeUpgrades(
  app: App,
  { livePage, gatewayCa, trustedProxies }: DeskConfig,
  {
    parts,
    access,
    metrics,
    disposer,
  }: { parts: Parts; access: Access; metrics: DeskMetrics; disposer: Disposer },
) {
  const { feed, stop } = DecisionFeed.follow(parts.nats);
  disposer.defer(stop);
  const live = openLive({
    feed,
    status: () => statusOf(parts.sources),
    tokenHolds:
      livePage === "open"
        ? undefined
        : (token, request) => access.tokenHolds(clientAddress(request, trustedProxies), token) === true,
  });
  disposer.defer(() => live.close());
  const handoff = openHandoff({ gateways: parts.sources.gateways, caFile: gatewayCa, metrics });
  disposer.defer(() => handoff.close());
  routeUpgrades(app.server as Server, { "/live": live.upgrade, "/link": handoff.upgrade });
  return { viewers: live.viewers, links: handoff.links };
}

/** @throws UsageError when the port is taken or not allowed */
async function listen(app: App, { host, port }: DeskConfig): Promise<number> {
  await app.ready();
  try {
    await app.listen({ host, port });
  } catch (error) {
    throw new UsageError(
      `port ${port} on ${host} cannot be opened: ${(error as Error).message}. Use another --port.`,
    );
  }
  return (app.server.address() as AddressInfo).port;
}
