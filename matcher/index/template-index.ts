// What a search asks of the templates it holds, whichever engine is behind them. Two calls, so that a search of many
// indexes can gather the nearest of all before it compares any.
//
// Invariants of every engine:
// - a label is in the index once, from add() until erase(), and never comes again; erase() leaves nothing of its template in the index;
// - distances of one probe are comparable between indexes of one scale, wherever they are: the smaller the nearer;
// - similarities are as palm/signature.ts has them, of labels in the order asked for;
// - nothing of a probe stays in the index.
import type { Signature } from "../../palm/signature.js";

export interface Near {
  label: number;
  distance: number;
}

/** What distances are of, as bus.SearchReply says it. */
export const SCALES = { vectors: 1, codes: 2 } as const;
export type Scale = (typeof SCALES)[keyof typeof SCALES];

export interface TemplateIndex {
  readonly scale: Scale;
  /** Templates that a search can find. */
  readonly size: number;
  /** Similarities are those of line maps; else of vectors, and the nearest are the most alike. */
  readonly hasLines: boolean;
  /** Copies the template. @param label uint32, never in the index before @throws RangeError for a template that does not fit */
  add(label: number, template: Signature): void;
  /** Overwrites all of the template with zeros and forgets it. @returns false when it was not there */
  erase(label: number): boolean;
  /** The min(k, size) nearest templates, nearest first; of equals the lower label. */
  shortlist(probe: Signature, k: number): Near[];
  /** @throws RangeError for a label that is not there */
  compare(probe: Signature, labels: readonly number[]): Float32Array;
}
