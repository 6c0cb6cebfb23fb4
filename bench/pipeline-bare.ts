// The bare stages of one decision, one after another in this thread, with nothing between them: what a decision would
// cost if Palmgate were free. The same functions that the processes run, on the same frames and the same gallery.
import { decide } from "../identify/index.js";
import { NEAREST } from "../identify/messages.js";
import { openTemplateIndex } from "../matcher/index/engines.js";
import type { MemberCandidate } from "../matcher/index/merge.js";
import { compareMembers } from "../matcher/index/search-members.js";
import type { TemplateIndex } from "../matcher/index/template-index.js";
import { COMPARED_MEMBERS } from "../matcher/segment.js";
import {
  assessQuality,
  type GreyImage,
  type ModelInfo,
  type Signature,
  type SignatureModel,
  templateOf,
} from "../palm/index.js";
import { decode, edge, encode } from "../wire/codec.js";
import { MAX_FRAMES_PER_PRESENTATION, PASSAGE_TOKEN_BYTES } from "../wire/limits.js";

export const BARE_STAGES = ["decode", "sign", "search", "decide", "encode"] as const;
export type BareStage = (typeof BARE_STAGES)[number];
export type BareCpu = Record<BareStage, number>;

export interface BareGallery {
  index: TemplateIndex;
  memberOf: string[];
  labelsOf: Map<string, number[]>;
  templates: number;
}

/** For the same members as the running matchers hold: one index. */
export function bareGallery(model: ModelInfo): BareGallery {
  return {
    index: openTemplateIndex("codes", model),
    memberOf: [],
    labelsOf: new Map(),
    templates: 0,
  };
}

export function addMember(gallery: BareGallery, memberHex: string, signatures: readonly Signature[]): void {
  const labels: number[] = [];
  gallery.labelsOf.set(memberHex, labels);
  for (const signature of signatures) {
    const label = gallery.memberOf.push(memberHex) - 1;
    labels.push(label);
    gallery.index.add(label, templateOf(signature));
  }
  gallery.templates += signatures.length;
}

export interface BareRun {
  /** CPU milliseconds per decision, user and system. */
  cpuMs: BareCpu;
  matches: number;
}

/**
 * Runs every stage over all frames and measures the CPU of each.
 * @param frames encoded ClientMessages, one per decision
 */
export async function runBare(
  frames: readonly Uint8Array[],
  model: SignatureModel,
  gallery: BareGallery,
  rules: { targetFpir: number; ambiguityMargin: number; similarityFor(rate: number): number },
): Promise<BareRun> {
  const decoded = await stage(frames, (bytes) => roiOf(bytes));
  const signed = await stage(decoded.results, async (roi) => {
    assessQuality(roi);
    return signOf(model, roi);
  });
  const searched = await stage(signed.results, (probe) => searchBare(gallery, probe));
  const policy = { ...rules, maxFrames: MAX_FRAMES_PER_PRESENTATION, framesToAgree: 1 };
  const { templates } = gallery;
  const decided = await stage(searched.results, (candidates) =>
    decide([{ kind: "searched", complete: true, candidates, templates }], policy),
  );
  const encoded = await stage(decided.results, (verdict) =>
    encode(edge.ServerMessage, decisionOf(verdict.outcome)),
  );
  return {
    cpuMs: {
      decode: decoded.cpuMs,
      sign: signed.cpuMs,
      search: searched.cpuMs,
      decide: decided.cpuMs,
      encode: encoded.cpuMs,
    },
    matches: decided.results.filter(({ outcome }) => outcome === "MATCH").length,
  };
}

function searchBare({ index, memberOf, labelsOf }: BareGallery, probe: Signature): MemberCandidate[] {
  const near = index.shortlist(probe, NEAREST).map(({ label }) => label);
  return compareMembers(index, probe, near, COMPARED_MEMBERS, {
    memberOf: (label) => memberOf[label],
    labelsOf: (member) => labelsOf.get(member) ?? [],
  });
}

/** @throws when the image has no signature: the bench's own images all have one */
export async function signOf(model: SignatureModel, roi: GreyImage): Promise<Signature> {
  const signature = await model.sign(roi);
  if (signature === undefined) throw new Error("an image of the bench has no signature");
  return signature;
}

async function stage<In, Out>(
  inputs: readonly In[],
  run: (input: In) => Out | Promise<Out>,
): Promise<{ results: Out[]; cpuMs: number }> {
  const results: Out[] = [];
  const before = process.cpuUsage();
  for (const input of inputs) {
    const result = run(input);
    results.push(result instanceof Promise ? await result : result);
  }
  const { user, system } = process.cpuUsage(before);
  return { results, cpuMs: (user + system) / 1000 / inputs.length };
}

function roiOf(bytes: Uint8Array): GreyImage {
  const frame = decode(edge.ClientMessage, bytes)?.frame;
  if (!frame?.image) throw new Error("the bench's own frame does not decode");
  return { width: frame.widthPx ?? 0, height: frame.heightPx ?? 0, pixels: frame.image };
}

function decisionOf(outcome: keyof typeof edge.Outcome): edge.ServerMessage.$Properties {
  const stages = { receiveMs: 1, queueMs: 1, signMs: 1, searchMs: 1, decideMs: 1, actMs: 1, totalMs: 1 };
  return {
    decision: {
      presentationId: new Uint8Array(16),
      outcome: edge.Outcome[outcome],
      granted: true,
      reason: edge.Reason.WELCOME_MEMBER,
      displayKey: "decision.welcome",
      pairwiseId: "abcdefghijklmnop",
      validUntilUnixMs: Date.now(),
      passageToken: new Uint8Array(PASSAGE_TOKEN_BYTES),
      stages,
      creditLimit: 5,
    },
  };
}
