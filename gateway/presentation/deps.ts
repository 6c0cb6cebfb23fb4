// What a presentation works with: its lane on one side, the gateway's parts on the other.
import type { SignerPool } from "../../palm/index.js";
import type { edge } from "../../wire/codec.js";
import type { LinkCode } from "../../wire/errors.js";
import type { Log } from "../../wire/log.js";
import type { Passages } from "../lane/passages.js";
import type { SpentIds } from "../lane/spent-ids.js";
import type { DecisionFeed } from "../live-feed.js";
import type { GatewayMetrics } from "../metrics.js";
import type { PolicyRules } from "../policy/policy.js";
import type { Recorder } from "../recorder.js";
import type { Act, Members, Search } from "../seams.js";
import type { Device } from "../sites.js";
import type { GuideReason } from "./display.js";

/** What a presentation sees of its lane. Nothing here throws when the lane is gone. */
export interface PresentationLane {
  readonly device: Device;
  /** Somebody is there to hear an answer. */
  readonly open: boolean;
  /** Of the connection: another after a reconnect. */
  readonly linkNumber: number;
  guide(presentationId: Uint8Array, reason: GuideReason): void;
  refuse(code: LinkCode, presentationId: Uint8Array): void;
  answer(decision: edge.IDecision): void;
  /** A frame's work is over: its credit comes back with the next message, or with tellCredit(). */
  frameDone(): void;
  tellCredit(): void;
}

export interface PresentationDeps {
  signers: Pick<SignerPool, "sign">;
  search: Search;
  members: Pick<Members, "get">;
  rulesFor(device: Device): PolicyRules;
  actFor(device: Device): Act;
  passages: Passages;
  spentIds: SpentIds;
  recorder: Recorder;
  liveFeed: DecisionFeed;
  metrics: GatewayMetrics;
  log: Log;
}
