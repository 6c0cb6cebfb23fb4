// What stands behind the lanes: NATS and the event log, galleries and their workers, signers, search, members, payments.
// Opened in the order in which one needs the other; `closers` gets, for each part, what takes it back.
import { loadCalibration, modelInfo, SignerPool, thresholdFor } from "../palm/index.js";
import { openEventLog } from "../records/index.js";
import type { bus } from "../wire/codec.js";
import { openGallery } from "../wire/galleries.js";
import { MAX_FRAMES_PER_PRESENTATION } from "../wire/limits.js";
import type { Log } from "../wire/log.js";
import { connectNats, followLink } from "../wire/nats.js";
import { watchWorkers } from "../wire/workers.js";
import { type GatewayConfig, maxPresentationsOf } from "./config.js";
import { openPairedDevices } from "./devices/paired-devices.js";
import { openMembers } from "./members/members.js";
import type { GatewayMetrics } from "./metrics.js";
import { Passes } from "./passes/passes.js";
import { openPayments } from "./payments/payments.js";
import { remembered } from "./policy/rules.js";
import { actsByPurpose } from "./purposes/index.js";
import type { Search, ServiceDeps } from "./seams.js";
import { Scatter } from "./search/scatter.js";
import type { SiteBook } from "./site-book.js";

export type Closers = (() => void | Promise<void>)[];

export type Backend = Awaited<ReturnType<typeof openBackend>>;

export async function openBackend(
  config: GatewayConfig,
  { book, metrics, log, closers }: { book: SiteBook; metrics: GatewayMetrics; log: Log; closers: Closers },
) {
  const model = await modelInfo(config.model);
  const calibration = await loadCalibration(config.calibration, model.modelId);
  const similarityFor = remembered((rate) => thresholdFor(calibration, rate));

  const nats = await connectNats({ url: config.natsUrl, name: "palmgate-gateway", log });
  closers.push(() => nats.close());
  const linkUp = followLink(nats);
  const eventLog = await openEventLog(nats);
  const { modelId, dimension, lineMaps } = model;
  for (const gallery of book.site.galleries)
    await openGallery(nats, { ...gallery, modelId, dimension, lineMaps });
  let workers: readonly bus.IWorkerState[] = [];
  const watch = await watchWorkers(
    nats,
    (states) => {
      workers = states;
    },
    log,
  );
  closers.push(() => watch.stop());

  const signers = await SignerPool.open({
    modelPath: config.model,
    threads: config.signerThreads,
    maxQueued: maxPresentationsOf(config) * MAX_FRAMES_PER_PRESENTATION,
  });
  closers.push(() => signers.close());
  const scatter = new Scatter(nats);
  closers.push(() => scatter.close());

  const services: ServiceDeps = {
    nats,
    natsUrl: config.natsUrl,
    eventLog,
    masterKey: config.masterKey,
    log,
    dataDir: config.dataDir,
    site: () => book.site,
    metrics,
  };
  const members = await openMembers(services);
  closers.push(() => members.close());
  const payments = await openPayments({ ...services, members });
  closers.push(() => payments.close());
  const devices = await openPairedDevices({ nats, site: () => book.site, log });
  closers.push(() => devices.close());
  return {
    services,
    members,
    devices,
    passes: new Passes({ nats, masterKey: config.masterKey, metrics, log }),
    signers,
    similarityFor,
    modelId,
    search: searchBy(scatter, book, modelId),
    acts: actsByPurpose({ payments }),
    workers: () => workers,
    /** Whether NATS is reached now. */
    linkUp,
  };
}

function searchBy(scatter: Scatter, book: SiteBook, modelId: string): Search {
  return (gallery, probe, deadlineMs) => {
    const partitions = book.site.galleries.find((each) => each.name === gallery)?.partitions;
    if (partitions === undefined) throw new Error(`no gallery '${gallery}' in the site file`);
    return scatter.ask({ gallery, partitions, modelId, probe, deadlineMs });
  };
}
