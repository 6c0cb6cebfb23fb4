// Puts the gateway together, and takes it apart again. Nothing is decided here.
//
// Invariants:
// - it listens only when everything behind it is open; what was opened before a failed start is closed again;
// - close() lets presentations under way finish, brings every decision into the log, and only then lets go of NATS.
import { join } from "node:path";
import { edge } from "../wire/codec.js";
import { claimDataFolder } from "../wire/data-folder.js";
import { type Log, openLog } from "../wire/log.js";
import { openOpsServer } from "../wire/ops-server.js";
import { registerApi } from "./api/api.js";
import { type Backend, type Closers, openBackend } from "./backend.js";
import { type GatewayConfig, maxPresentationsOf, tlsOf } from "./config.js";
import { Lanes } from "./lane/lanes.js";
import { Passages } from "./lane/passages.js";
import { SpentIds } from "./lane/spent-ids.js";
import { DecisionFeed } from "./live-feed.js";
import { type GatewayMetrics, openMetrics } from "./metrics.js";
import { registerPages } from "./pages/pages.js";
import { rulesBy } from "./policy/rules.js";
import { Presentations } from "./presentation/presentations.js";
import { Recorder } from "./recorder.js";
import type { Act, Closable } from "./seams.js";
import { SiteBook } from "./site-book.js";
import { observe, statusBy } from "./status.js";
import { type App, engine, listen, openApp, serveLanes } from "./transport.js";

export interface Gateway extends Closable {
  port: number;
  opsPort: number;
  transport: string;
  /** Reads the site file again; a bad one changes nothing and is logged. */
  rereadSite(): void;
}

/** Starts a gateway. @throws UsageError for wrong configuration */
export async function startGateway(config: GatewayConfig): Promise<Gateway> {
  const closers: Closers = [];
  const close = async () => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer();
  };
  try {
    return { ...(await open(config, openLog("gateway"), closers)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function open(config: GatewayConfig, log: Log, closers: Closers): Promise<Omit<Gateway, "close">> {
  const tls = tlsOf(config);
  const folder = await claimDataFolder(config.dataDir);
  closers.push(() => folder.release());
  const book = new SiteBook(config.siteFile, log);
  const metrics = openMetrics();
  const app = openApp(tls);
  closers.push(() => app.close());
  const backend = await openBackend(config, { book, metrics, log, closers });
  const front = openFront(config, { backend, book, metrics, log, closers });
  const { status } = front;
  registerServices(app, config, { backend, front, closers });
  const dismissGreeting = serveLanes(app, front.laneDeps);
  const ops = await openOpsServer({
    host: config.opsHost,
    port: config.opsPort,
    registry: metrics.registry,
    notReady: () => status().notReady,
  });
  closers.push(() => ops.close());
  const { lanes, presentations, deviceOf } = front.laneDeps;
  backend.devices.onChange(() => lanes.recheck(deviceOf));
  const listening = await listen(app, config.host, config.port);
  closers.push(async () => {
    listening.close();
    dismissGreeting();
    lanes.dismiss("idle");
    await presentations.stop();
    lanes.dismiss("all");
  });
  const { port } = listening;
  const transport = engine();
  log.info({ port, opsPort: ops.port, transport, tls: tls !== undefined }, "gateway listens");
  return {
    port,
    opsPort: ops.port,
    transport,
    rereadSite: () => {
      if (book.reread()) lanes.recheck(deviceOf);
    },
  };
}

interface Parts {
  backend: Backend;
  book: SiteBook;
  metrics: GatewayMetrics;
  log: Log;
  closers: Closers;
}

type Front = ReturnType<typeof openFront>;

/** Lanes, presentations and the recorder behind them. */
function openFront(config: GatewayConfig, { backend, book, metrics, log, closers }: Parts) {
  const { services, members, signers, similarityFor, search, acts } = backend;
  const transport = engine();
  metrics.transport(transport);
  if (transport !== "uws-native") log.warn("uWebSockets.js runs its slow JavaScript fallback: see README");
  const recorder = new Recorder(services.eventLog, log, config.maxUnrecordedEvents);
  closers.push(async () => {
    const events = await recorder.close();
    if (events > 0) log.error({ events }, "the event log took no events to the end: these are lost");
  });
  const shared = { passages: new Passages(), spentIds: new SpentIds(), recorder, metrics, log };
  const liveFeed = new DecisionFeed();
  const maxPresentations = maxPresentationsOf(config);
  const presentations = new Presentations(
    {
      ...shared,
      signers,
      search,
      members,
      liveFeed,
      rulesFor: rulesBy({ site: services.site, members, similarityFor }),
      actFor: ({ purpose }) => actOf(acts[edge.Purpose[purpose]], purpose),
    },
    { maxPresentations, maxQueuedFrames: maxPresentations },
    () => signers.stats().queued,
  );
  const lanes = new Lanes();
  const deviceOf = (deviceId: string) => book.deviceOf(deviceId) ?? backend.devices.get(deviceId);
  const laneDeps = { ...shared, deviceOf, lanes, presentations, transport };
  const watched = { backend, lanes, presentations, recorder, transport };
  observe(metrics, watched);
  return { laneDeps, liveFeed, status: statusBy(watched) };
}

/** The operator API and the pages, on the same app. */
function registerServices(
  app: App,
  config: GatewayConfig,
  { backend, front, closers }: { backend: Backend; front: Front; closers: Closers },
): void {
  const { services, acts: _, ...parts } = backend;
  const deps = {
    ...services,
    ...parts,
    liveFeed: front.liveFeed,
    status: front.status,
    operatorToken: config.operatorToken,
    receiptKeyFile: config.receiptKey ?? join(config.dataDir, "receipt-key.pem"),
    livePage: config.livePage,
    publicUrl: config.publicUrl,
  };
  const api = registerApi(app, deps);
  closers.push(() => api.close());
  const pages = registerPages(app, deps);
  closers.push(() => pages.close());
}

function actOf(act: Act | undefined, purpose: string): Act {
  if (act === undefined) throw new Error(`nothing is done for purpose ${purpose}`);
  return act;
}
