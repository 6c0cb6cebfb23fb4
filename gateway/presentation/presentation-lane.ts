// What a presentation sees of its lane. Nothing here throws when the lane is gone.
import type { edge } from "../../wire/codec.js";
import type { Device } from "../../wire/directory.js";
import type { LinkCode } from "../../wire/errors.js";
import type { GuideReason } from "./display.js";

export interface PresentationLane {
  readonly device: Device;
  /** Somebody is there to hear an answer. */
  readonly open: boolean;
  guide(presentationId: Uint8Array, reason: GuideReason): void;
  refuse(code: LinkCode, presentationId: Uint8Array): void;
  /** Who it is, is known; what is done for them takes until then at most. */
  progress(presentationId: Uint8Array, decisionByUnixMs: number): void;
  answer(decision: edge.IDecision): void;
  /** A frame's work is over: its credit comes back with the next message, or with tellCredit(). */
  frameDone(): void;
  tellCredit(): void;
}
