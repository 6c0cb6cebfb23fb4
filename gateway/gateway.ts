// Puts the gateway together, and takes it apart again. Nothing is decided here.
//
// Invariants:
// - it listens only when everything behind it is open; what was opened before a failed start is closed again;
// - close() lets presentations under way finish, brings every decision into the log, and only then lets go of NATS.
import { randomUUID } from "node:crypto";
import { networkInterfaces } from "node:os";
import { rulesOf, similarityBy } from "../identify/index.js";
import { loadCalibration } from "../palm/calibration.js";
import { type ModelInfo, modelInfo } from "../palm/model-file.js";
import { SignerPool } from "../palm/signer-pool.js";
import { openPaymentLog } from "../records/payments/payment-log.js";
import { sandboxProcessor } from "../records/payments/sandbox.js";
import { bus } from "../wire/codec.js";
import { type Disposer, opened } from "../wire/disposer.js";
import { MAX_FRAMES_PER_PRESENTATION } from "../wire/limits.js";
import { encodeLive } from "../wire/live.js";
import { type Log, openLog } from "../wire/log.js";
import { openOpsServer } from "../wire/ops-server.js";
import { liveSubject } from "../wire/subjects.js";
import { type Backend, openBackend } from "./backend.js";
import { type GatewayConfig, maxPresentationsOf, tlsOf } from "./config.js";
import { Lanes } from "./lane/lanes.js";
import { type GatewayMetrics, openMetrics } from "./metrics.js";
import { Answers } from "./presentation/answer.js";
import { Presentations } from "./presentation/presentations.js";
import { Sensor } from "./presentation/sensor.js";
import { type Purposes, purposesBy } from "./purposes/index.js";
import { Grants } from "./record/grants.js";
import { Passages } from "./record/passages.js";
import { Recorder } from "./record/recorder.js";
import { announce, notReady } from "./state.js";
import { listen, openApp, serveLanes, TRANSPORT } from "./transport.js";

export interface Gateway {
  port: number;
  opsPort: number;
  transport: string;
  close(): Promise<void>;
}

/** Starts a gateway. @throws UsageError for wrong configuration */
export const startGateway = (config: GatewayConfig): Promise<Gateway> =>
  opened(async (disposer) => {
    const log = openLog("gateway", { gateway: config.gatewayId });
    const app = openApp(tlsOf(config));
    disposer.defer(() => app.close());
    const metrics = openMetrics();
    metrics.transport(TRANSPORT);
    const [backend, signing] = await Promise.all([
      openBackend(config, disposer, log),
      openSigning(config, disposer),
    ]);
    const front = openFront(config, { backend, signing, metrics, log }, disposer);
    const { lanes, presentations, recorder } = front;
    const state = () => notReady({ ...backend, modelId: signing.model.modelId });
    const dismissGreeting = serveLanes(app, lanes, metrics);
    const ops = await openOpsServer({
      host: config.opsHost,
      port: config.opsPort,
      registry: metrics.registry,
      notReady: state,
    });
    disposer.defer(() => ops.close());
    metrics.observe({
      lanes: () => lanes.count,
      presentationsActive: () => presentations.active,
      creditsOutstanding: () => lanes.creditsOutstanding(),
      signers: () => signing.signers.stats(),
      shards: () => backend.fleet.ready(),
      unrecordedEvents: () => recorder.unrecorded,
      searches: () => backend.search.counts,
    });
    const listening = await listen(app, config.host, config.port);
    disposer.defer(async () => {
      listening.close();
      dismissGreeting();
      lanes.dismiss("idle");
      await presentations.stop();
      lanes.dismiss("all");
    });
    const { port } = listening;
    const instance = randomUUID();
    disposer.defer(
      announce(
        backend.nats,
        () => ({
          id: config.gatewayId,
          instance,
          host: reachableHost(config.host),
          port,
          tls: config.tlsCert !== undefined,
          lanes: lanes.count,
          presentations: presentations.active,
          transport: TRANSPORT,
          notReady: state(),
        }),
        log,
      ),
    );
    log.info({ port, opsPort: ops.port, tls: config.tlsCert !== undefined }, "gateway listens");
    return { port, opsPort: ops.port, transport: TRANSPORT, close: () => disposer.close() };
  });

type Signing = Awaited<ReturnType<typeof openSigning>>;

/** The model, its calibration, and the threads that make signatures by it. */
async function openSigning(
  config: GatewayConfig,
  disposer: Disposer,
): Promise<{ model: ModelInfo; similarityFor: ReturnType<typeof similarityBy>; signers: SignerPool }> {
  const model = await modelInfo(config.model);
  const similarityFor = similarityBy(await loadCalibration(config.calibration, model.modelId));
  const signers = await SignerPool.open({
    modelPath: config.model,
    threads: config.signerThreads,
    maxQueued: maxPresentationsOf(config) * MAX_FRAMES_PER_PRESENTATION,
  });
  disposer.defer(() => signers.close());
  return { model, similarityFor, signers };
}

interface Parts {
  backend: Backend;
  signing: Signing;
  metrics: GatewayMetrics;
  log: Log;
}

/** Lanes, presentations and the record behind them. */
function openFront(config: GatewayConfig, { backend, signing, metrics, log }: Parts, disposer: Disposer) {
  const { nats, directory, keyring, clock, eventLog, search, book } = backend;
  const { gatewayId } = config;
  const { model, similarityFor, signers } = signing;
  const nowUnixMs = () => clock.nowUnixMs();
  const recorder = new Recorder(eventLog, log, config.maxUnrecordedEvents);
  disposer.defer(async () => {
    const events = await recorder.close();
    if (events > 0) log.error({ events }, "the event log took no events to the end: these are lost");
  });
  const passages = new Passages({ eventLog, keyring, nowUnixMs });
  const purposes = openPurposes(backend, metrics, disposer);
  const grants = new Grants({ eventLog, recorder, passages, keyring, gatewayId, nowUnixMs });
  const answers = new Answers({
    grants,
    recorder,
    metrics,
    show: (decision) => {
      if (!nats.isClosed()) nats.publish(liveSubject(decision.organisation), encodeLive(decision));
    },
    gatewayId,
    nowUnixMs,
  });
  const maxPresentations = maxPresentationsOf(config);
  const presentations = new Presentations(
    {
      sensor: new Sensor(signers, (request) => search.search(request), model.modelId),
      rulesFor: ({ organisation, purpose }) =>
        rulesOf(directory.policy(organisation), purpose, {
          similarityFor,
          framesToAgree: purposes[purpose].framesToAgree,
        }),
      purposes,
      answers,
      metrics,
      log,
    },
    {
      maxPresentations,
      maxQueuedFrames: maxPresentations,
      queuedFrames: () => signers.stats().queued,
      recordFull: (reserved) => recorder.full(reserved),
    },
  );
  const lanes = new Lanes({
    directory,
    book,
    presentations,
    passages,
    purposes,
    metrics,
    transport: TRANSPORT,
    gatewayId,
    nowUnixMs,
    log,
  });
  disposer.defer(() => lanes.close());
  return { lanes, presentations, recorder };
}

function openPurposes(
  { nats, eventLog, clock }: Backend,
  metrics: GatewayMetrics,
  disposer: Disposer,
): Purposes {
  // The directory knows no other processor yet; its schema refuses other names.
  const processor = sandboxProcessor(nats);
  disposer.defer(() => processor.close());
  return purposesBy({
    log: openPaymentLog(eventLog),
    processor,
    onStep: (step) => metrics.payment(bus.PaymentStep[step] ?? "UNKNOWN"),
    nowUnixMs: () => clock.nowUnixMs(),
  });
}

const EVERYWHERE = new Set(["0.0.0.0", "::"]);

/** Where the desk finds a gateway that listens on every address: this machine's first one that others can reach. */
function reachableHost(host: string): string {
  if (!EVERYWHERE.has(host)) return host;
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return addresses.find(({ internal, family }) => !internal && family === "IPv4")?.address ?? "127.0.0.1";
}
