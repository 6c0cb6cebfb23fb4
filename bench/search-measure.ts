// Measures one index against exact search on one set of signatures.
//
// Agreement is counted per probe, against our own exact engine: the first member, and the set of members at or above
// the threshold among the candidates a gateway asks for. CPU is this process's, over loops that do nothing else.
import hnswlib from "hnswlib-node";
import { CANDIDATES_PER_PARTITION } from "../gateway/search/scatter.js";
import { openExactIndex } from "../matcher/index/exact-index.js";
import { openHnswIndex } from "../matcher/index/hnsw-index.js";
import { type MemberCandidate, searchMembers } from "../matcher/index/merge.js";
import type { SignatureIndex } from "../matcher/index/signature-index.js";

export interface Probe {
  signature: Float32Array;
  mated: boolean;
}

export interface Gallery {
  /** Templates by member. */
  members: readonly (readonly Float32Array[])[];
  probes: readonly Probe[];
  threshold: number;
}

export interface Agreement {
  probes: number;
  /** Probes whose first member is the same. */
  top1: number;
  /** Probes whose members at or above the threshold are the same. */
  aboveThreshold: number;
}

export interface SearchResult {
  members: number;
  templates: number;
  threshold: number;
  agreement: { all: Agreement; mated: Agreement; nonMated: Agreement };
  buildCpuMsPerTemplate: number;
  /** Mean CPU of one query. */
  cpuMsPerQuery: { hnsw: number; exact: number; bruteForceNative: number };
}

/** Probes timed with hnswlib's own brute force: enough for a mean. */
const NATIVE_PROBES = 200;

export interface Tuning {
  links?: number;
  efConstruction?: number;
  efSearch?: number;
}

export function measure(gallery: Gallery, tuning: Tuning, onProgress: (text: string) => void): SearchResult {
  const [first] = gallery.probes;
  if (!first) throw new Error("no probes");
  const dimension = first.signature.length;
  const owners = gallery.members.flatMap((templates, member) => templates.map(() => String(member)));
  const perMember = Math.max(...gallery.members.map((templates) => templates.length));
  const hnsw = openHnswIndex(dimension, tuning);
  const exact = openExactIndex(dimension);
  onProgress(`building: ${owners.length} templates`);
  const buildMs = cpuMs(() => fill(hnsw, gallery));
  fill(exact, gallery);
  const search = (index: SignatureIndex) => (probe: Probe) =>
    searchMembers(index, probe.signature, CANDIDATES_PER_PARTITION, perMember, (label) => owners[label]);

  onProgress(`searching: ${gallery.probes.length} probes, hnsw`);
  const approximate = timed(gallery.probes, search(hnsw));
  onProgress(`searching: ${gallery.probes.length} probes, exact`);
  const truth = timed(gallery.probes, search(exact));
  onProgress("searching: hnswlib's brute force");
  const native = nativeCpuMs(gallery, dimension, CANDIDATES_PER_PARTITION * perMember);

  const agreement = (of: (probe: Probe) => boolean) => agree(gallery, of, approximate.answers, truth.answers);
  return {
    members: gallery.members.length,
    templates: owners.length,
    threshold: gallery.threshold,
    agreement: {
      all: agreement(() => true),
      mated: agreement((probe) => probe.mated),
      nonMated: agreement((probe) => !probe.mated),
    },
    buildCpuMsPerTemplate: buildMs / owners.length,
    cpuMsPerQuery: { hnsw: approximate.cpuMs, exact: truth.cpuMs, bruteForceNative: native },
  };
}

function fill(index: SignatureIndex, { members }: Gallery): void {
  let label = 0;
  for (const templates of members) for (const template of templates) index.add(label++, template);
}

function timed(probes: readonly Probe[], search: (probe: Probe) => MemberCandidate[]) {
  const answers: MemberCandidate[][] = [];
  const total = cpuMs(() => {
    for (const probe of probes) answers.push(search(probe));
  });
  return { answers, cpuMs: total / probes.length };
}

function agree(
  { probes, threshold }: Gallery,
  of: (probe: Probe) => boolean,
  approximate: readonly MemberCandidate[][],
  truth: readonly MemberCandidate[][],
): Agreement {
  const above = (answer: readonly MemberCandidate[] = []) =>
    answer
      .filter(({ similarity }) => similarity >= threshold)
      .map(({ member }) => member)
      .sort()
      .join();
  const counted = { probes: 0, top1: 0, aboveThreshold: 0 };
  for (const [i, probe] of probes.entries()) {
    if (!of(probe)) continue;
    counted.probes += 1;
    if (approximate[i]?.[0]?.member === truth[i]?.[0]?.member) counted.top1 += 1;
    if (above(approximate[i]) === above(truth[i])) counted.aboveThreshold += 1;
  }
  const rate = (n: number) => (counted.probes === 0 ? 1 : n / counted.probes);
  return {
    probes: counted.probes,
    top1: rate(counted.top1),
    aboveThreshold: rate(counted.aboveThreshold),
  };
}

/** hnswlib's brute force with the same SIMD as its graph: the fairer price of exactness. */
function nativeCpuMs({ members, probes }: Gallery, dimension: number, k: number): number {
  const index = new hnswlib.BruteforceSearch("ip", dimension);
  const templates = members.flat();
  index.initIndex(templates.length);
  for (const [label, template] of templates.entries()) index.addPoint(Array.from(template), label);
  const some = probes.slice(0, NATIVE_PROBES).map(({ signature }) => Array.from(signature));
  return cpuMs(() => some.map((probe) => index.searchKnn(probe, k))) / some.length;
}

function cpuMs(act: () => unknown): number {
  const before = process.cpuUsage();
  act();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
