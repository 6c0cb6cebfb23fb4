// Replies to searches, comparisons and member reads, byte in to byte out, without NATS.
import { describe, expect, it } from "vitest";
import { answerCompare } from "../../matcher/compare-request.js";
import { openTemplateIndex, type SignatureKind } from "../../matcher/index/engines.js";
import { SCALES } from "../../matcher/index/template-index.js";
import { answerMember } from "../../matcher/member-request.js";
import { answerSearch } from "../../matcher/search-request.js";
import { Segment } from "../../matcher/segment.js";
import type { SegmentFacts, Served, ServingThread } from "../../matcher/serving.js";
import { similarity, templateOf } from "../../palm/signature.js";
import { bus, decode, encode } from "../../wire/codec.js";
import { openFacts } from "../../wire/facts.js";
import { fromHex, toHex } from "../../wire/hex.js";
import { ShardSet } from "../../wire/shard.js";
import { bytesOf, ofVector, randomProbe, randomUnit, seeded } from "./support/vectors.js";

const D = 32;
const NOW = 1_800_000_000_000;
const random = seeded(11);
const KEY = new Uint8Array(32).fill(9);
const nonce = new Uint8Array(16).fill(5);
/** Everybody lives in shard 0. */
const memberHex = (n: number) => n.toString(16).padStart(32, "0");
const identity = { workerId: "w", instance: "life", thread: 1 };
const vectors = Array.from({ length: 20 }, () => randomUnit(random, D));
const someone = vectors[7] ?? new Float32Array(D);
const counter = () => {
  let next = 0;
  return () => next++;
};

const KIND = { dimension: D, lineMaps: false };
const segmentOf = (kind: SignatureKind) => new Segment(openTemplateIndex("codes", kind), counter());
const plain = segmentOf(KIND);
for (const [i, vector] of vectors.entries())
  plain.add(memberHex(i), i + 1, [ofVector(vector), ofVector(randomUnit(random, D))]);
const facts: SegmentFacts = {
  ...{ organisation: "org", gallery: "g", modelId: "model-1", ...KIND },
};

type Serving = Served | "NOT_HERE" | "NOT_READY" | "NOT_CURRENT";
const served: Served = { shards: new ShardSet([0, 2]), appliedSequence: 77 };
function thread(
  fields: { serving?: Serving; templates?: Segment; facts?: SegmentFacts; aside?: number[] } = {},
): ServingThread {
  const open = { facts: fields.facts ?? facts, templates: fields.templates ?? plain };
  return {
    identity,
    nowUnixMs: () => NOW,
    serving: () => fields.serving ?? served,
    asideIn: () => new ShardSet(fields.aside),
    segment: (organisation, gallery) => (organisation === "org" && gallery === "g" ? open : undefined),
    member: (organisation, member) => {
      if (organisation !== "org") return { status: "UNKNOWN" };
      if (member === memberHex(3)) return { status: "ERASED", gallery: "g" };
      if (member === memberHex(4)) return { status: "UNREADY" };
      const told = { memberId: fromHex(member), revision: 12 };
      return { status: "FOUND", gallery: "g", templates: [{ modelId: "model-1", position: 2 }], facts: told };
    },
    factsKey: () => KEY,
  };
}

const searchBody = (fields: Partial<bus.ISearchRequest> = {}) =>
  encode(bus.SearchRequest, {
    ...{ organisation: "org", gallery: "g", modelId: "model-1", probe: bytesOf(someone), nearest: 5 },
    ...{ deadlineUnixMs: NOW + 1, ...fields },
  });
const search = (body: Uint8Array, of = thread()) => {
  const answer = answerSearch(of, body);
  const message = answer && decode(bus.SearchReply, answer.reply);
  if (!message || !answer) throw new Error("no SearchReply");
  expect(message.status).toBe(bus.SearchStatus[answer.status]);
  return { status: answer.status, message };
};
const compareBody = (fields: Partial<bus.ICompareRequest> = {}) =>
  encode(bus.CompareRequest, {
    ...{ organisation: "org", gallery: "g", modelId: "model-1", instance: "life", handles: [14, 3] },
    ...{ probe: bytesOf(someone), nonce, deadlineUnixMs: NOW + 1, ...fields },
  });
const compare = (body: Uint8Array, of = thread()) => {
  const { status, reply } = answerCompare(of, body);
  const message = decode(bus.CompareReply, reply);
  if (!message) throw new Error("no CompareReply");
  expect(message).toMatchObject({
    workerId: "w",
    instance: "life",
    thread: 1,
    status: bus.SearchStatus[status],
  });
  return { status, message };
};

/** A body that lies so and so in memory. */
const movedBy = (offset: number, body: Uint8Array) => {
  const moved = new Uint8Array(body.length + offset).subarray(offset);
  moved.set(body);
  return moved;
};
const holed = Float32Array.from(someone);
holed[3] = Number.NaN;

describe("a search request", () => {
  it("is answered with the nearest templates, best first, and the shards that were searched", () => {
    const { status, message } = search(searchBody());
    expect(status).toBe("SEARCHED");
    expect(message).toMatchObject({
      workerId: "w",
      instance: "life",
      thread: 1,
      templates: 40,
      appliedSequence: 77,
    });
    expect([...(ShardSet.from(message.shards) ?? [])]).toEqual([0, 2]);
    expect(message.near).toHaveLength(5);
    expect(message.near[0]?.handle).toBe(14);
    expect(message.near[0]?.distance).toBeCloseTo(0, 5);
    expect(message.scale).toBe(SCALES.vectors);
  });

  it("is not answered for a shard where somebody of the gallery is set aside", () => {
    const ask = (aside: number[]) => answerSearch(thread({ aside }), searchBody());
    const reply = ask([0, 1])?.reply ?? new Uint8Array();
    const message = decode(bus.SearchReply, reply);
    expect(message).toMatchObject({ status: bus.SearchStatus.SEARCHED, near: [], templates: 0 });
    expect([...(ShardSet.from(message?.shards) ?? [])]).toEqual([2]);
    expect(ask([0, 2])?.status).toBe("NOT_READY");
  });

  it("leaves nothing of the probe behind, wherever it lay in memory, nor of a message that is refused", () => {
    for (const offset of [0, 1, 2, 3]) {
      const body = movedBy(offset, searchBody());
      expect(search(body).message.near[0]?.handle).toBe(14);
      expect(body.every((byte) => byte === 0)).toBe(true);
    }
    const refused = searchBody({ modelId: "another" });
    expect(search(refused).status).toBe("MODEL_MISMATCH");
    expect(refused.every((byte) => byte === 0)).toBe(true);
  });

  it("leaves nothing of the probe behind when the search fails, wherever it lay in memory", () => {
    let seen: Float32Array | undefined;
    const failing = segmentOf(KIND);
    failing.shortlist = ({ vector }) => {
      expect(vector).toEqual(someone);
      seen = vector;
      throw new Error("no luck");
    };
    for (const offset of [0, 1, 2, 3]) {
      const body = movedBy(offset, searchBody());
      expect(() => answerSearch(thread({ templates: failing }), body)).toThrow("no luck");
      expect(body.every((byte) => byte === 0)).toBe(true);
      expect(seen?.every((number) => number === 0)).toBe(true);
    }
  });

  it.each([
    ["a probe of another length", searchBody({ probe: bytesOf(someone.slice(1)) }), "PROBE_INVALID"],
    ["a probe cut inside a number", searchBody({ probe: bytesOf(someone).subarray(1) }), "PROBE_INVALID"],
    ["no probe", searchBody({ probe: new Uint8Array() }), "PROBE_INVALID"],
    ["a probe with a NaN", searchBody({ probe: bytesOf(holed) }), "PROBE_INVALID"],
    ["a probe that is all zeros", searchBody({ probe: new Uint8Array(D * 4) }), "PROBE_INVALID"],
    [
      "a probe twice as long as a unit",
      searchBody({ probe: bytesOf(someone.map((x) => 2 * x)) }),
      "PROBE_INVALID",
    ],
    ["codes that its model does not make", searchBody({ codes: new Uint8Array(4) }), "PROBE_INVALID"],
    ["nothing wanted", searchBody({ nearest: 0 }), "PROBE_INVALID"],
    ["too much wanted", searchBody({ nearest: 65 }), "PROBE_INVALID"],
    ["a set of shards that is none", searchBody({ shards: new Uint8Array(3) }), "PROBE_INVALID"],
    ["bytes that are no request", new Uint8Array([0x0a, 0xff]), "PROBE_INVALID"],
    ["another model", searchBody({ modelId: "model-2" }), "MODEL_MISMATCH"],
    ["a gallery that was not heard of", searchBody({ gallery: "new" }), "NOT_READY"],
    ["another organisation's gallery", searchBody({ organisation: "other" }), "NOT_READY"],
    ["a deadline that is over", searchBody({ deadlineUnixMs: NOW }), "PAST_DEADLINE"],
    ["no deadline", searchBody({ deadlineUnixMs: 0 }), "PAST_DEADLINE"],
  ])("with %s is refused with a status and no handles", (_, body, expected) => {
    const { status, message } = search(body);
    expect(status).toBe(expected);
    expect(message.near).toEqual([]);
    expect(message.shards).toHaveLength(0);
  });

  it("goes by codes where there are any, wherever they lay, and leaves nothing of them", () => {
    const probes = Array.from({ length: 5 }, () => randomProbe(random, D));
    const [{ vector, codes } = ofVector(someone)] = probes;
    const withLines = segmentOf({ ...KIND, lineMaps: true });
    for (const [i, each] of probes.entries()) withLines.add(memberHex(i + 10), i, [templateOf(each)]);
    const of = thread({ templates: withLines, facts: { ...facts, lineMaps: true } });
    for (const offset of [0, 1, 2, 3]) {
      const body = movedBy(offset, searchBody({ probe: bytesOf(vector), codes: bytesOf(codes) }));
      const { message } = search(body, of);
      expect(message).toMatchObject({ scale: SCALES.codes, near: [{ handle: 0 }, {}, {}, {}, {}] });
      expect(body.every((byte) => byte === 0)).toBe(true);
    }
    for (const wrong of [new Uint8Array(), bytesOf(codes.subarray(1)), bytesOf(codes).subarray(1)]) {
      const body = searchBody({ probe: bytesOf(vector), codes: wrong });
      expect(search(body, of).status).toBe("PROBE_INVALID");
    }
    expect(search(searchBody({ probe: bytesOf(holed), codes: bytesOf(codes) }), of).status).toBe(
      "PROBE_INVALID",
    );
  });

  it("is not worked on when its deadline is over", () => {
    const untouched = segmentOf(KIND);
    untouched.shortlist = () => {
      throw new Error("searched");
    };
    untouched.compare = () => {
      throw new Error("compared");
    };
    const of = thread({ templates: untouched });
    expect(search(searchBody({ deadlineUnixMs: NOW }), of).status).toBe("PAST_DEADLINE");
    expect(compare(compareBody({ deadlineUnixMs: NOW }), of).status).toBe("PAST_DEADLINE");
    expect(() => search(searchBody(), of)).toThrow("searched");
  });

  it("is told that shards have not caught up or are not current, and not answered where they are others'", () => {
    expect(search(searchBody(), thread({ serving: "NOT_READY" })).status).toBe("NOT_READY");
    expect(search(searchBody(), thread({ serving: "NOT_CURRENT" })).status).toBe("NOT_CURRENT");
    expect(answerSearch(thread({ serving: "NOT_HERE" }), searchBody())).toBeUndefined();
  });
});

describe("a compare request", () => {
  it("is answered with members and the best one's facts, which open with its nonce alone", () => {
    const { status, message } = compare(compareBody());
    expect(status).toBe("SEARCHED");
    expect(message.candidates.map(({ memberId }) => toHex(memberId ?? nonce))).toEqual([
      memberHex(7),
      memberHex(1),
    ]);
    expect(message.candidates[0]?.similarity).toBeCloseTo(1, 5);
    const best = fromHex(memberHex(7));
    expect(openFacts(KEY, nonce, best, message.profile)).toMatchObject({ revision: 12 });
    expect(openFacts(KEY, new Uint8Array(16), best, message.profile)).toBeUndefined();
    expect(openFacts(KEY, nonce, fromHex(memberHex(1)), message.profile)).toBeUndefined();
    expect(openFacts(new Uint8Array(32), nonce, best, message.profile)).toBeUndefined();
  });

  it.each([
    ["handles of another life", compareBody({ instance: "former" }), "STALE_HANDLES"],
    ["a handle of nobody", compareBody({ handles: [14, 999] }), "STALE_HANDLES"],
    ["no handles", compareBody({ handles: [] }), "PROBE_INVALID"],
    ["too many handles", compareBody({ handles: Array(65).fill(1) }), "PROBE_INVALID"],
    ["a short nonce", compareBody({ nonce: new Uint8Array(8) }), "PROBE_INVALID"],
    ["line maps that its model does not make", compareBody({ lines: new Uint8Array(4) }), "PROBE_INVALID"],
    ["a probe with a NaN", compareBody({ probe: bytesOf(holed) }), "PROBE_INVALID"],
    ["bytes that are no request", new Uint8Array([0x0a, 0xff]), "PROBE_INVALID"],
    ["another model", compareBody({ modelId: "model-2" }), "MODEL_MISMATCH"],
    ["another organisation's gallery", compareBody({ organisation: "other" }), "NOT_READY"],
    ["a deadline that is over", compareBody({ deadlineUnixMs: NOW }), "PAST_DEADLINE"],
    ["a best one whose key is being destroyed", compareBody({ handles: [8] }), "STALE_HANDLES"],
  ])("with %s is refused with a status, and nothing else", (_, body, expected) => {
    const { status, message } = compare(body);
    expect(status).toBe(expected);
    expect(message.candidates).toEqual([]);
    expect(message.profile).toBeNull();
    expect(body.every((byte) => byte === 0)).toBe(true);
  });

  it("compares nothing of a shard that is not current any more", () => {
    const other: Served = { shards: new ShardSet([2]), appliedSequence: 1 };
    expect(compare(compareBody(), thread({ serving: other })).status).toBe("NOT_CURRENT");
    expect(compare(compareBody(), thread({ serving: "NOT_CURRENT" })).status).toBe("NOT_CURRENT");
    expect(compare(compareBody(), thread({ serving: "NOT_HERE" })).status).toBe("STALE_HANDLES");
  });

  it("answers similarities of line maps where there are any, wherever they lay, and leaves nothing of the probe", () => {
    const probes = Array.from({ length: 5 }, () => randomProbe(random, D));
    const [probe = ofVector(someone)] = probes;
    const withLines = segmentOf({ ...KIND, lineMaps: true });
    for (const [i, each] of probes.entries()) withLines.add(memberHex(i + 10), i, [templateOf(each)]);
    const of = thread({ templates: withLines, facts: { ...facts, lineMaps: true } });
    for (const offset of [0, 1, 2, 3]) {
      const fields = { handles: [0, 1], probe: new Uint8Array(), lines: bytesOf(probe.lines) };
      const body = movedBy(offset, compareBody(fields));
      const { message } = compare(body, of);
      expect(message.candidates[0]?.similarity).toBeCloseTo(similarity(probe, templateOf(probe)), 6);
      expect(body.every((byte) => byte === 0)).toBe(true);
    }
    const short = compareBody({ handles: [0], lines: bytesOf(probe.lines.subarray(1)) });
    expect(compare(short, of).status).toBe("PROBE_INVALID");
  });
});

describe("a member request", () => {
  const ask = (fields: Partial<bus.IMemberRequest> = {}, serving: Serving = served, shard = 0) => {
    const request = { organisation: "org", memberId: fromHex(memberHex(7)), nonce, ...fields };
    const { status, reply } = answerMember(thread({ serving }), shard, encode(bus.MemberRequest, request));
    const message = decode(bus.MemberReply, reply);
    if (!message) throw new Error("no MemberReply");
    expect(message).toMatchObject({ workerId: "w", status: bus.MemberStatus[status] });
    return { status, message };
  };

  it("is answered with facts under its nonce, gallery, kinds of templates, and the sequence that is applied", () => {
    const { status, message } = ask();
    expect(status).toBe("FOUND");
    expect(message).toMatchObject({
      gallery: "g",
      appliedSequence: 77,
      templates: [{ modelId: "model-1", position: 2 }],
    });
    expect(openFacts(KEY, nonce, fromHex(memberHex(7)), message.facts)).toMatchObject({ revision: 12 });
  });

  it.each([
    ["an erased member", { memberId: fromHex(memberHex(3)) }, "ERASED"],
    ["one whose key is being destroyed", { memberId: fromHex(memberHex(4)) }, "UNREADY"],
    ["one of another organisation", { organisation: "other" }, "UNKNOWN"],
    ["an id of another length", { memberId: new Uint8Array(8) }, "UNKNOWN"],
    ["a short nonce", { nonce: new Uint8Array(8) }, "UNKNOWN"],
  ])("for %s says so, and no facts", (_, fields, expected) => {
    const { status, message } = ask(fields);
    expect(status).toBe(expected);
    expect(message.facts).toBeNull();
  });

  it("is told nothing by a shard that is not current, or is another one", () => {
    expect(ask({}, "NOT_CURRENT").status).toBe("UNREADY");
    expect(ask({}, "NOT_READY").status).toBe("UNREADY");
    expect(ask({ memberId: fromHex(memberHex(3)) }, "NOT_CURRENT").status).toBe("UNREADY");
    expect(ask({}, served, 1).status).toBe("UNKNOWN");
  });
});
