// Enrolments for the tests: one member, one template of each hand.
import { randomBytes, randomInt } from "node:crypto";
import { TEMPLATE_CODE_WORDS } from "../../../palm/codes/layout.js";
import { TEMPLATE_LINES_WORDS } from "../../../palm/lines/frames.js";
import type { Enrolment } from "../../../records/index.js";
import { ORGANISATION } from "./rig.js";

export const DIMENSION = 64;

export function unitVector(dimension = DIMENSION): Float32Array {
  const raw = Float32Array.from(randomBytes(dimension), (byte) => byte - 128);
  raw[0] = 1;
  const norm = Math.hypot(...raw);
  return raw.map((value) => value / norm);
}

const anyWords = (length: number) => Uint32Array.from({ length }, () => randomInt(2 ** 32));

function signature() {
  return {
    vector: unitVector(),
    lines: anyWords(TEMPLATE_LINES_WORDS),
    codes: anyWords(TEMPLATE_CODE_WORDS),
  };
}

export function enrolmentOf(gallery: string, organisation = ORGANISATION): Enrolment {
  return {
    organisation,
    gallery,
    memberId: Uint8Array.from(randomBytes(16)),
    templates: [
      { signature: signature(), modelId: "model-1", position: 1 },
      { signature: signature(), modelId: "model-1", position: 2 },
    ],
    profile: {
      consents: [1, 2],
      instrument: { processor: "sandbox", token: "tok_approve", brand: "visa", last4: "4242" },
      contact: { phone: "+4915112345678" },
    },
  };
}
