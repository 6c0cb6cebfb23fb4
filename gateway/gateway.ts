// Puts the gateway together, and takes it apart again. Nothing is decided here.
//
// Invariants:
// - it listens only when everything behind it is open; what was opened before a failed start is closed again;
// - close() lets presentations under way finish, brings every decision into the log, and only then lets go of NATS.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { loadCalibration, modelInfo, SignerPool, thresholdFor } from "../palm/index.js";
import { openEventLog } from "../records/index.js";
import { type bus, edge } from "../wire/codec.js";
import { openGallery } from "../wire/galleries.js";
import { MAX_FRAMES_PER_PRESENTATION } from "../wire/limits.js";
import { type Log, openLog } from "../wire/log.js";
import { connectNats } from "../wire/nats.js";
import { openOpsServer } from "../wire/ops-server.js";
import { watchWorkers } from "../wire/workers.js";
import { registerApi } from "./api/api.js";
import { type GatewayConfig, maxPresentationsOf, tlsOf } from "./config.js";
import { Lanes } from "./lane/lanes.js";
import { Passages } from "./lane/passages.js";
import { SpentIds } from "./lane/spent-ids.js";
import { DecisionFeed } from "./live-feed.js";
import { openMembers } from "./members/members.js";
import { openMetrics } from "./metrics.js";
import { registerPages } from "./pages/pages.js";
import { partitionsOf } from "./partitions.js";
import { openPayments } from "./payments/payments.js";
import { remembered, rulesBy } from "./policy/rules.js";
import { Presentations } from "./presentation/presentations.js";
import { actsByPurpose } from "./purposes/index.js";
import { Recorder } from "./recorder.js";
import type { Act, Closable, GatewayDeps, GatewayStatus, Search, ServiceDeps } from "./seams.js";
import { Scatter } from "./search/scatter.js";
import { SiteBook } from "./site-book.js";
import type { Device } from "./sites.js";
import { engine, listen, openApp, serveLanes } from "./transport.js";

export interface Gateway extends Closable {
  port: number;
  opsPort: number;
  transport: string;
  /** Reads the site file again; a bad one changes nothing and is logged. */
  rereadSite(): void;
}

type Closer = () => void | Promise<void>;

/** Starts a gateway. @throws UsageError for wrong configuration */
export async function startGateway(config: GatewayConfig): Promise<Gateway> {
  const log = openLog("gateway");
  const closers: Closer[] = [];
  const close = async () => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer();
  };
  try {
    return await open(config, log, closers, close);
  } catch (error) {
    await close();
    throw error;
  }
}

/** Opens part after part; `closers` gets, for each, what takes it back. */
async function open(
  config: GatewayConfig,
  log: Log,
  closers: Closer[],
  close: () => Promise<void>,
): Promise<Gateway> {
  const book = new SiteBook(config.siteFile, log);
  const site = () => book.site;
  const transport = engine();
  if (transport !== "uws-native") log.warn("uWebSockets.js runs its slow JavaScript fallback: see README");
  const metrics = openMetrics();
  metrics.transport(transport);
  mkdirSync(config.dataDir, { recursive: true });

  const model = await modelInfo(config.model);
  const calibration = await loadCalibration(config.calibration);
  const similarityFor = remembered((rate) => thresholdFor(calibration, rate));

  const nats = await connectNats({ url: config.natsUrl, name: "palmgate-gateway", log });
  closers.push(() => nats.close());
  const eventLog = await openEventLog(nats);
  for (const gallery of site().galleries) await openGallery(nats, { ...gallery, ...model });
  let workers: readonly bus.IWorkerState[] = [];
  const watch = await watchWorkers(
    nats,
    (states) => {
      workers = states;
    },
    log,
  );
  closers.push(() => watch.stop());

  const maxPresentations = maxPresentationsOf(config);
  const maxQueued = maxPresentations * MAX_FRAMES_PER_PRESENTATION;
  const signers = await SignerPool.open({
    modelPath: config.model,
    threads: config.signerThreads,
    maxQueued,
  });
  closers.push(() => signers.close());
  const scatter = new Scatter(nats);
  closers.push(() => scatter.close());
  const search = searchBy(scatter, book, model.modelId);

  const services: ServiceDeps = { nats, eventLog, log, dataDir: config.dataDir, site, metrics };
  const members = await openMembers(services);
  closers.push(() => members.close());
  const payments = await openPayments({ ...services, members });
  closers.push(() => payments.close());
  const acts = actsByPurpose({ payments });

  const recorder = new Recorder(eventLog, log, config.maxUnrecordedEvents);
  closers.push(async () => {
    const lost = await recorder.flush();
    if (lost > 0) log.error({ events: lost }, "the event log took no events to the end: these are lost");
  });
  const shared = { passages: new Passages(), spentIds: new SpentIds(), recorder, metrics, log };
  const liveFeed = new DecisionFeed();
  const presentations = new Presentations(
    {
      ...shared,
      signers,
      search,
      members,
      liveFeed,
      rulesFor: rulesBy({ site, members, similarityFor }),
      actFor: ({ purpose }: Device) => actOf(acts[edge.Purpose[purpose]], purpose),
    },
    { maxPresentations, maxQueuedFrames: maxPresentations },
    () => signers.stats().queued,
  );

  const lanes = new Lanes();
  const partitions = () => partitionsOf(site(), workers);
  const status = (): GatewayStatus => ({
    transport,
    modelId: model.modelId,
    lanes: site().devices.map(({ id, site: siteName, purpose, gallery }) => ({
      deviceId: id,
      site: siteName,
      purpose,
      gallery,
      connected: lanes.connected(id),
    })),
    presentationsActive: presentations.active,
    unrecordedEvents: recorder.unrecorded,
    galleries: partitions(),
    notReady: notReady(),
  });
  const notReady = (): string[] => [
    ...partitions()
      .filter((each) => each.partitionsReady < each.partitions)
      .map((each) => `gallery ${each.name}: ${each.partitionsReady} of ${each.partitions} partitions ready`),
    ...(members.ready() ? [] : ["the members view is catching up"]),
    ...(nats.isClosed() ? ["the NATS connection is closed"] : []),
  ];
  metrics.observe({
    lanes: () => lanes.count,
    presentationsActive: () => presentations.active,
    creditsOutstanding: () => lanes.creditsOutstanding(),
    signers: () => signers.stats(),
    partitions: () => ({
      expected: partitions().reduce((sum, each) => sum + each.partitions, 0),
      ready: partitions().reduce((sum, each) => sum + each.partitionsReady, 0),
    }),
    members: () => members.count(),
    memberLag: () => members.lag(),
    unrecordedEvents: () => recorder.unrecorded,
  });

  const app = openApp(tlsOf(config));
  closers.push(() => app.close());
  const gatewayDeps: GatewayDeps = {
    ...services,
    members,
    signers,
    modelId: model.modelId,
    search,
    similarityFor,
    workers: () => workers,
    liveFeed,
    status,
    operatorToken: config.operatorToken,
    receiptKeyFile: config.receiptKey ?? join(config.dataDir, "receipt-key.pem"),
    livePage: config.livePage,
  };
  const api = await registerApi(app, gatewayDeps);
  closers.push(() => api.close());
  const pages = registerPages(app, gatewayDeps);
  closers.push(() => pages.close());
  const dismissGreeting = serveLanes(app, {
    ...shared,
    deviceOf: book.deviceOf,
    lanes,
    presentations,
    transport,
  });
  const ops = await openOpsServer({
    host: config.opsHost,
    port: config.opsPort,
    registry: metrics.registry,
    notReady,
  });
  closers.push(() => ops.close());
  const listening = await listen(app, config.host, config.port);
  closers.push(async () => {
    listening.close();
    dismissGreeting();
    lanes.dismiss("idle");
    await presentations.stop();
    lanes.dismiss("all");
  });
  log.info(
    { port: listening.port, opsPort: ops.port, transport, tls: tlsOf(config) !== undefined },
    "gateway listens",
  );
  return {
    port: listening.port,
    opsPort: ops.port,
    transport,
    rereadSite: () => {
      if (book.reread()) lanes.recheck(book.deviceOf);
    },
    close,
  };
}

function searchBy(scatter: Scatter, book: SiteBook, modelId: string): Search {
  return (gallery, signature, deadlineMs) => {
    const partitions = book.site.galleries.find((each) => each.name === gallery)?.partitions;
    if (partitions === undefined) throw new Error(`no gallery '${gallery}' in the site file`);
    return scatter.ask({ gallery, partitions, modelId, signature, deadlineMs });
  };
}

function actOf(act: Act | undefined, purpose: string): Act {
  if (act === undefined) throw new Error(`nothing is done for purpose ${purpose}`);
  return act;
}
