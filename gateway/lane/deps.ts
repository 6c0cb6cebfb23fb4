// What every connection of the edge link works with.
import type { Log } from "../../wire/log.js";
import type { GatewayMetrics } from "../metrics.js";
import type { Presentations } from "../presentation/presentations.js";
import type { Recorder } from "../recorder.js";
import type { Device } from "../sites.js";
import type { Lanes } from "./lanes.js";
import type { Passages } from "./passages.js";
import type { SpentIds } from "./spent-ids.js";

export interface LaneDeps {
  deviceOf(deviceId: string): Device | undefined;
  lanes: Lanes;
  presentations: Presentations;
  passages: Passages;
  spentIds: SpentIds;
  recorder: Recorder;
  metrics: GatewayMetrics;
  log: Log;
  /** Engine behind the socket, for Welcome. */
  transport: string;
}
