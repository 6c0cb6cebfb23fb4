// From a frame to what it has told: signed by a signer thread, searched by the matchers.
//
// Invariants:
// - a frame is searched with only when its quality is good and somebody still waits for the result;
// - the signature is wiped when the search has ended, whatever came of it.
import type { Evidence, SearchClient } from "../../identify/index.js";
import { type Signature, wipe } from "../../palm/signature.js";
import type { SignerPool } from "../../palm/signer-pool.js";
import type { Device } from "../../wire/directory.js";
import type { LinkCode } from "../../wire/errors.js";
import type { Stages } from "../../wire/live.js";
import type { EncodingName } from "../lane/admit.js";

/** How long both rounds together may take for one frame. */
const SEARCH_DEADLINE_MS = 500;

/** A frame that passed every check, with pixels of its own. */
export interface AdmittedFrame {
  sequence: number;
  encoding: EncodingName;
  widthPx: number;
  heightPx: number;
  /** The one copy of the pixels; transferred to the signer, who zeroes it. */
  pixels: ArrayBuffer;
  last: boolean;
  /** Decode and check. */
  receiveMs: number;
}

export type Sensed = Evidence | { kind: "refused"; code: LinkCode };

/** For whom a frame is sensed: times go into `stages`. */
export interface Sensing {
  device: Pick<Device, "organisation" | "gallery">;
  stages: Stages;
  /** On the clock of performance.now(): no result counts after it. */
  endsAtMs: number;
  /** Somebody still waits. */
  wanted(): boolean;
}

export class Sensor {
  readonly #signers: Pick<SignerPool, "sign">;
  readonly #search: SearchClient["search"];
  readonly #modelId: string;

  constructor(signers: Pick<SignerPool, "sign">, search: SearchClient["search"], modelId: string) {
    this.#signers = signers;
    this.#search = search;
    this.#modelId = modelId;
  }

  /** sign -> quality -> search. Never rejects for an expected failure. */
  async sense(frame: AdmittedFrame, sensing: Sensing): Promise<Sensed> {
    const { encoding, widthPx: width, heightPx: height, pixels } = frame;
    const signed = await this.#signers.sign({ encoding, width, height, pixels });
    if (!signed.ok) return refusal(signed.code);
    sensing.stages.queueMs += signed.queueMs;
    sensing.stages.signMs += signed.signMs;
    try {
      if (signed.quality.reason !== "OK") return { kind: "poor", reason: signed.quality.reason };
      if (!sensing.wanted()) return { kind: "lost" };
      return await this.#searchFor(signed.signature, sensing);
    } finally {
      wipe(signed.signature);
    }
  }

  async #searchFor(probe: Signature, { device, stages, endsAtMs }: Sensing): Promise<Evidence> {
    const fromMs = performance.now();
    const deadlineMs = Math.max(1, Math.min(SEARCH_DEADLINE_MS, endsAtMs - fromMs));
    const { organisation, gallery } = device;
    const found = await this.#search({ organisation, gallery, modelId: this.#modelId, probe, deadlineMs });
    stages.searchMs += performance.now() - fromMs;
    return { kind: "searched", ...found };
  }
}

/** What a signer's refusal means for the frame: its own fault, or ours. */
function refusal(code: string): Sensed {
  if (code === "BAD_IMAGE") return { kind: "refused", code: "BAD_IMAGE" };
  if (code === "TOO_LARGE") return { kind: "refused", code: "IMAGE_TOO_LARGE" };
  return { kind: "lost" };
}
