// The palms of enrolments: opened captures as signatures, and enrolments under way compared with each other.
//
// Invariant: every signature made here is zeroed by its owner's close().
import { setImmediate } from "node:timers/promises";
import { PROBE_CODE_WORDS } from "../palm/codes/layout.js";
import { PROBE_LINES_WORDS } from "../palm/lines/frames.js";
import { type Signature, similarity, wipe } from "../palm/signature.js";
import type { bus } from "../wire/codec.js";

export const FLOAT_BYTES = 4;

export interface Palm {
  modelId: string;
  /** 0 unknown, 1 right, 2 left */
  position: number;
  probe: Signature;
}

export interface Palms {
  palms: readonly Palm[];
  close(): void;
}

/** `undefined`: one of them is not of that model, or of another length than its signatures. */
export function palmsOf(
  captures: readonly bus.ISignedCapture[],
  model: { modelId: string; dimension: number; lineMaps: boolean },
): Palms | undefined {
  const palms: Palm[] = [];
  const close = () => {
    for (const { probe } of palms) wipe(probe);
  };
  for (const { modelId, position, vector, lines, codes } of captures) {
    const probe = { vector: floats(vector), lines: words(lines), codes: words(codes) };
    palms.push({ modelId: modelId ?? "", position: position ?? 0, probe });
    const fits =
      modelId === model.modelId &&
      probe.vector.length === model.dimension &&
      probe.lines.length === (model.lineMaps ? PROBE_LINES_WORDS : 0) &&
      probe.codes.length === (model.lineMaps ? PROBE_CODE_WORDS : 0);
    if (fits) continue;
    close();
    return undefined;
  }
  return { palms, close };
}

export interface Compared {
  /** Highest similarity found; -1 when nothing was compared. */
  closest: number;
  comparisons: number;
}

/** Every palm of one with every palm of the other, others' turns in between. */
export async function comparePalms(own: Palms, other: Palms): Promise<Compared> {
  let closest = -1;
  for (const { probe } of own.palms) {
    for (const { probe: theirs } of other.palms) closest = Math.max(closest, similarity(probe, theirs));
    await setImmediate();
  }
  return { closest, comparisons: own.palms.length * other.palms.length };
}

/** Copies: decoded bytes lie at any address. */
function floats(bytes: Uint8Array | null | undefined): Float32Array {
  return new Float32Array(alignedCopy(bytes));
}

function words(bytes: Uint8Array | null | undefined): Uint32Array {
  return new Uint32Array(alignedCopy(bytes));
}

function alignedCopy(bytes: Uint8Array | null | undefined): ArrayBuffer {
  const length = bytes?.length ?? 0;
  const copy = new ArrayBuffer(length - (length % FLOAT_BYTES));
  new Uint8Array(copy).set((bytes ?? new Uint8Array()).subarray(0, copy.byteLength));
  return copy;
}
