// What operators see of a running gateway: its state in one object, and the gauges. Read when asked, kept nowhere.
import type { Backend } from "./backend.js";
import { allDevices } from "./devices/all-devices.js";
import type { Lanes } from "./lane/lanes.js";
import type { GatewayMetrics } from "./metrics.js";
import { partitionsOf } from "./partitions.js";
import type { Presentations } from "./presentation/presentations.js";
import type { Recorder } from "./recorder.js";
import type { GatewayStatus } from "./seams.js";
import type { Engine } from "./transport.js";

export interface Watched {
  backend: Backend;
  lanes: Lanes;
  presentations: Presentations;
  recorder: Recorder;
  transport: Engine;
}

const galleriesOf = ({ services, workers }: Backend) => partitionsOf(services.site(), workers());

/** The state as GET /api/status, /readyz and the live page show it. */
export function statusBy({
  backend,
  lanes,
  presentations,
  recorder,
  transport,
}: Watched): () => GatewayStatus {
  return () => ({
    transport,
    modelId: backend.modelId,
    lanes: allDevices(backend.services.site(), backend.devices).map(({ id, site, purpose, gallery }) => ({
      deviceId: id,
      site,
      purpose,
      gallery,
      connected: lanes.connected(id),
    })),
    presentationsActive: presentations.active,
    unrecordedEvents: recorder.unrecorded,
    galleries: galleriesOf(backend),
    notReady: notReady(backend),
  });
}

function notReady(backend: Backend): string[] {
  const unserved = galleriesOf(backend)
    .filter((each) => each.partitionsReady < each.partitions)
    .map((each) => `gallery ${each.name}: ${each.partitionsReady} of ${each.partitions} partitions ready`);
  const views = backend.members.ready() ? [] : ["the members view is catching up"];
  // Who holds what is known from before while the link is down, and searches nothing.
  const link = backend.linkUp() ? [] : ["nats-server is not reached"];
  return [...unserved, ...views, ...link];
}

/** Binds the gauges. */
export function observe(metrics: GatewayMetrics, { backend, lanes, presentations, recorder }: Watched): void {
  const { members, signers } = backend;
  const sum = (field: "partitions" | "partitionsReady") =>
    galleriesOf(backend).reduce((total, each) => total + each[field], 0);
  metrics.observe({
    lanes: () => lanes.count,
    presentationsActive: () => presentations.active,
    creditsOutstanding: () => lanes.creditsOutstanding(),
    signers: () => signers.stats(),
    partitions: () => ({ expected: sum("partitions"), ready: sum("partitionsReady") }),
    members: () => members.count(),
    memberLag: () => members.lag(),
    unrecordedEvents: () => recorder.unrecorded,
  });
}
