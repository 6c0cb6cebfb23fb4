// The engines that find the nearest by their vectors, and compare line maps where the model makes them.
//
// Invariants: those of template-index.ts; a template that one of the two parts refused is in neither.
import { compareFrames } from "../../palm/lines/frames.js";
import type { LineShelf } from "./line-shelf.js";
import type { SignatureIndex } from "./signature-index.js";
import { SCALES, type TemplateIndex } from "./template-index.js";

/** @param shelf none where the model makes no line maps */
export function openVectorIndex(index: SignatureIndex, shelf: LineShelf | undefined): TemplateIndex {
  return {
    scale: SCALES.vectors,
    hasLines: shelf !== undefined,
    get size() {
      return index.size;
    },
    add(label, { vector, lines }) {
      index.add(label, vector);
      try {
        shelf?.add(label, lines);
      } catch (error) {
        index.erase(label);
        throw error;
      }
    },
    erase(label) {
      shelf?.erase(label);
      return index.erase(label);
    },
    shortlist: (probe, k) =>
      index.search(probe.vector, k).map(({ label, similarity }) => ({ label, distance: 1 - similarity })),
    compare: (probe, labels) =>
      shelf === undefined
        ? Float32Array.from(labels, (label) => index.similarityTo(label, probe.vector))
        : compareFrames(
            probe.lines,
            labels.map((label) => shelf.mapOf(label)),
          ),
  };
}
