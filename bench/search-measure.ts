// Measures one index against exact search on one set of vectors, and what a comparison of line maps costs beside it.
//
// Agreement is counted per probe, against our own exact engine, as deep as a gateway's search asks an index: the first
// member, and how many of the nearest templates are found. CPU is this process's, over loops that do nothing else.

import hnswlib from "hnswlib-node";
import { NEAREST } from "../identify/messages.js";
import { openCodeIndex } from "../matcher/index/code-index.js";
import { openExactIndex } from "../matcher/index/exact-index.js";
import { openHnswIndex } from "../matcher/index/hnsw-index.js";
import type { Hit, SignatureIndex } from "../matcher/index/signature-index.js";
import { PROBE_CODE_WORDS, TEMPLATE_CODE_WORDS } from "../palm/codes/layout.js";
import {
  compareFrames,
  FRAMES_FIELD_NUMBERS,
  framedLineMaps,
  TEMPLATE_LINES_WORDS,
} from "../palm/lines/frames.js";
import { gaussian, seeded } from "./seeded.js";

export interface Probe {
  vector: Float32Array;
  mated: boolean;
}

export interface Gallery {
  /** Templates by member. */
  members: readonly (readonly Float32Array[])[];
  probes: readonly Probe[];
}

export interface Agreement {
  probes: number;
  /** Probes whose first member is the same. */
  top1: number;
  /** Mean share of the nearest NEAREST templates that are found: all that line maps can tell apart. */
  nearest: number;
}

export interface SearchResult {
  members: number;
  templates: number;
  agreement: { all: Agreement; mated: Agreement; nonMated: Agreement };
  buildCpuMsPerTemplate: number;
  /** Mean CPU of one query: of an index, the one of codes with as many templates, and of the comparison of NEAREST line maps that follows. */
  cpuMsPerQuery: { hnsw: number; exact: number; bruteForceNative: number; codes: number; lineMaps: number };
}

/** Probes timed with hnswlib's own brute force: enough for a mean. */
const NATIVE_PROBES = 200;
/** Comparisons of line maps that are timed. */
const LINE_QUERIES = 100;
/** Searches of codes that are timed. */
const CODE_QUERIES = 50;

export interface Tuning {
  links?: number;
  efConstruction?: number;
  efSearch?: number;
}

export function measure(gallery: Gallery, tuning: Tuning, onProgress: (text: string) => void): SearchResult {
  const [first] = gallery.probes;
  if (!first) throw new Error("no probes");
  const dimension = first.vector.length;
  const owners = gallery.members.flatMap((templates, member) => templates.map(() => member));
  const hnsw = openHnswIndex(dimension, tuning);
  const exact = openExactIndex(dimension);
  onProgress(`building: ${owners.length} templates`);
  const buildMs = cpuMs(() => fill(hnsw, gallery));
  fill(exact, gallery);

  onProgress(`searching: ${gallery.probes.length} probes, hnsw`);
  const approximate = timed(gallery.probes, hnsw);
  onProgress(`searching: ${gallery.probes.length} probes, exact`);
  const truth = timed(gallery.probes, exact);
  onProgress("searching: hnswlib's brute force");
  const native = nativeCpuMs(gallery, dimension);

  const answers = gallery.probes.map(({ mated }, i) => ({
    mated,
    found: approximate.answers[i] ?? [],
    wanted: truth.answers[i] ?? [],
  }));
  return {
    members: gallery.members.length,
    templates: owners.length,
    agreement: {
      all: agree(answers, owners),
      mated: agree(
        answers.filter(({ mated }) => mated),
        owners,
      ),
      nonMated: agree(
        answers.filter(({ mated }) => !mated),
        owners,
      ),
    },
    buildCpuMsPerTemplate: buildMs / owners.length,
    cpuMsPerQuery: {
      hnsw: approximate.cpuMs,
      exact: truth.cpuMs,
      bruteForceNative: native,
      codes: codesCpuMs(owners.length),
      lineMaps: lineMapsCpuMs(),
    },
  };
}

function fill(index: SignatureIndex, { members }: Gallery): void {
  let label = 0;
  for (const templates of members) for (const template of templates) index.add(label++, template);
}

function timed(probes: readonly Probe[], index: SignatureIndex) {
  const answers: Hit[][] = [];
  const total = cpuMs(() => {
    for (const { vector } of probes) answers.push(index.search(vector, NEAREST));
  });
  return { answers, cpuMs: total / probes.length };
}

/** What the index found for a probe, and what there was to find; best first. */
interface Answer {
  found: readonly Hit[];
  wanted: readonly Hit[];
}

/** @param owners members by label */
function agree(answers: readonly Answer[], owners: readonly number[]): Agreement {
  const firstOf = ([hit]: readonly Hit[]) => hit && owners[hit.label];
  const shareFound = ({ found, wanted }: Answer) => {
    const labels = new Set(found.map(({ label }) => label));
    return wanted.filter(({ label }) => labels.has(label)).length / wanted.length;
  };
  const mean = (of: (answer: Answer) => number) =>
    answers.length === 0 ? 1 : answers.reduce((sum, answer) => sum + of(answer), 0) / answers.length;
  return {
    probes: answers.length,
    top1: mean(({ found, wanted }) => (firstOf(found) === firstOf(wanted) ? 1 : 0)),
    nearest: mean(shareFound),
  };
}

/** The index of random codes: what its list costs does not depend on what they are of. */
function codesCpuMs(templates: number): number {
  const random = seeded(1);
  const drawn = (words: number) => Uint32Array.from({ length: words }, () => Math.floor(random() * 2 ** 32));
  const index = openCodeIndex();
  const [vector, lines] = [new Float32Array(), new Uint32Array(TEMPLATE_LINES_WORDS)];
  for (let label = 0; label < templates; label++) {
    index.add(label, { vector, lines, codes: drawn(TEMPLATE_CODE_WORDS) });
  }
  const probe = { vector, lines, codes: drawn(PROBE_CODE_WORDS) };
  const total = cpuMs(() => {
    for (let i = 0; i < CODE_QUERIES; i++) index.shortlist(probe, NEAREST);
  });
  return total / CODE_QUERIES;
}

/** The line maps of random fields: what a comparison costs does not depend on what they show. */
function lineMapsCpuMs(): number {
  const random = seeded(1);
  const drawn = () =>
    framedLineMaps(Float32Array.from({ length: FRAMES_FIELD_NUMBERS }, () => gaussian(random)));
  const probe = drawn();
  const templates = Array.from({ length: NEAREST }, drawn);
  const total = cpuMs(() => {
    for (let i = 0; i < LINE_QUERIES; i++) compareFrames(probe, templates);
  });
  return total / LINE_QUERIES;
}

/** hnswlib's brute force with the same SIMD as its graph: the fairer price of exactness. */
function nativeCpuMs({ members, probes }: Gallery, dimension: number): number {
  const index = new hnswlib.BruteforceSearch("ip", dimension);
  const templates = members.flat();
  index.initIndex(templates.length);
  for (const [label, template] of templates.entries()) index.addPoint(Array.from(template), label);
  const some = probes.slice(0, NATIVE_PROBES).map(({ vector }) => Array.from(vector));
  const k = Math.min(NEAREST, templates.length);
  return cpuMs(() => some.map((probe) => index.searchKnn(probe, k))) / some.length;
}

function cpuMs(act: () => unknown): number {
  const before = process.cpuUsage();
  act();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
