// Replies to search and applied requests, byte in to byte out, without NATS.
import { describe, expect, it } from "vitest";
import { AppliedDesk, type AppliedSource, MAX_WAITING_APPLIED } from "../../matcher/applied-desk.js";
import { openTemplateIndex } from "../../matcher/index/engines.js";
import { openExactIndex } from "../../matcher/index/exact-index.js";
import { openVectorIndex } from "../../matcher/index/vector-index.js";
import { Roster } from "../../matcher/roster.js";
import { answerSearch, type Searchable } from "../../matcher/search-request.js";
import { type Signature, similarity, templateOf } from "../../palm/signature.js";
import { bus, decode, encode } from "../../wire/codec.js";
import { fromHex, toHex } from "../../wire/partition.js";
import { bytesOf, ofVector, randomProbe, randomUnit, seeded } from "./support/vectors.js";

const D = 32;
const random = seeded(11);
const memberHex = (n: number) => n.toString(16).padStart(32, "0");
const signatures = Array.from({ length: 20 }, () => randomUnit(random, D));
const roster = new Roster(openVectorIndex(openExactIndex(D), undefined));
for (const [i, signature] of signatures.entries())
  roster.add(memberHex(i), [ofVector(signature), ofVector(randomUnit(random, D))]);
const target: Searchable = {
  partition: 3,
  modelId: "model-1",
  dimension: D,
  lineMaps: false,
  ready: true,
  templates: roster.templates,
  search: (probe, k) => roster.search(probe, k),
};
const someone = signatures[7] ?? new Float32Array(D);
const request = (fields: Partial<bus.ISearchRequest>) =>
  encode(bus.SearchRequest, { modelId: "model-1", probe: bytesOf(someone), maxCandidates: 5, ...fields });
const ask = (body: Uint8Array, of: Searchable = target) => {
  const { status, reply } = answerSearch(of, body, "w");
  const message = decode(bus.SearchReply, reply);
  if (!message) throw new Error("no SearchReply");
  expect(message.status).toBe(bus.SearchStatus[status]);
  return { status, message };
};

describe("a search request", () => {
  it("is answered with the best members, best first", () => {
    const { status, message } = ask(request({}));
    expect(status).toBe("SEARCHED");
    expect(message).toMatchObject({ partition: 3, templates: 40, workerId: "w" });
    expect(message.candidates).toHaveLength(5);
    expect(toHex(message.candidates[0]?.memberId ?? new Uint8Array())).toBe(memberHex(7));
    expect(message.candidates[0]?.similarity).toBeCloseTo(1, 5);
  });

  it("leaves nothing of the probe behind, wherever it lay in memory, nor of a message that is refused", () => {
    let seen: Signature | undefined;
    const search = (probe: Signature) => {
      seen = probe;
      return [];
    };
    for (const offset of [0, 1, 2, 3]) {
      const body = new Uint8Array(2000).subarray(offset, offset + request({}).length);
      body.set(request({}));
      ask(body, { ...target, search });
      expect(body.every((byte) => byte === 0)).toBe(true);
      expect(seen?.vector.every((number) => number === 0)).toBe(true);
    }
    const refused = request({ modelId: "another" });
    expect(ask(refused).status).toBe("MODEL_MISMATCH");
    expect(refused.every((byte) => byte === 0)).toBe(true);
  });

  it("leaves nothing of the probe behind when the search fails, wherever it lay in memory", () => {
    let seen: Signature | undefined;
    const search = (probe: Signature) => {
      expect(probe.vector).toEqual(someone);
      seen = probe;
      throw new Error("no luck");
    };
    for (const offset of [0, 1, 2, 3]) {
      const body = new Uint8Array(2000).subarray(offset, offset + request({}).length);
      body.set(request({}));
      expect(() => answerSearch({ ...target, search }, body, "w")).toThrow("no luck");
      expect(body.every((byte) => byte === 0)).toBe(true);
      expect(seen?.vector.every((number) => number === 0)).toBe(true);
    }
  });

  it("gives the same answer wherever the probe lies in memory", () => {
    const body = request({});
    const replies = [0, 1, 2, 3].map((offset) => {
      const moved = new Uint8Array(body.length + offset).subarray(offset);
      moved.set(body);
      return ask(moved).message.candidates;
    });
    for (const each of replies) expect(each).toEqual(replies[0]);
  });

  const holed = Float32Array.from(someone);
  holed[3] = Number.NaN;
  it.each([
    ["a probe of another length", request({ probe: bytesOf(someone.slice(1)) }), "PROBE_INVALID"],
    ["a probe cut inside a number", request({ probe: bytesOf(someone).subarray(1) }), "PROBE_INVALID"],
    ["no probe", request({ probe: new Uint8Array() }), "PROBE_INVALID"],
    ["a probe with a NaN", request({ probe: bytesOf(holed) }), "PROBE_INVALID"],
    ["a probe that is all zeros", request({ probe: new Uint8Array(D * 4) }), "PROBE_INVALID"],
    [
      "a probe twice as long as a unit",
      request({ probe: bytesOf(someone.map((x) => 2 * x)) }),
      "PROBE_INVALID",
    ],
    ["no candidates wanted", request({ maxCandidates: 0 }), "PROBE_INVALID"],
    ["too many candidates wanted", request({ maxCandidates: 65 }), "PROBE_INVALID"],
    ["bytes that are no request", new Uint8Array([0x0a, 0xff]), "PROBE_INVALID"],
    ["line maps that its model does not make", request({ lines: new Uint8Array(4) }), "PROBE_INVALID"],
    ["another model", request({ modelId: "model-2" }), "MODEL_MISMATCH"],
  ])("with %s is refused with a status and no candidates", (_, body, expected) => {
    const { status, message } = ask(body);
    expect(status).toBe(expected);
    expect(message.candidates).toEqual([]);
  });

  it("to a partition that has not caught up is told so", () => {
    expect(ask(request({}), { ...target, ready: false }).status).toBe("NOT_READY");
  });
});

describe("a search request to a gallery with line maps", () => {
  const probes = Array.from({ length: 5 }, () => randomProbe(random, D));
  const withLines = new Roster(openTemplateIndex("codes", { dimension: D, lineMaps: true }));
  for (const [i, probe] of probes.entries()) withLines.add(memberHex(i), [templateOf(probe)]);
  const gallery: Searchable = {
    ...target,
    lineMaps: true,
    search: (probe, k) => withLines.search(probe, k),
  };
  const [someoneHere = randomProbe(random, D)] = probes;
  const requestOf = ({ vector, lines, codes }: Signature) =>
    request({ probe: bytesOf(vector), lines: bytesOf(lines), codes: bytesOf(codes) });

  it("is answered with the similarities of line maps, wherever the probe lies in memory", () => {
    const body = requestOf(someoneHere);
    const expected = probes.map((each) => similarity(someoneHere, templateOf(each))).sort((a, b) => b - a);
    for (const offset of [0, 1, 2, 3]) {
      const moved = new Uint8Array(body.length + offset).subarray(offset);
      moved.set(body);
      const { candidates } = ask(moved, gallery).message;
      expect(toHex(candidates[0]?.memberId ?? new Uint8Array())).toBe(memberHex(0));
      expect(candidates).toHaveLength(expected.length);
      for (const [i, { similarity: found }] of candidates.entries())
        expect(found).toBeCloseTo(expected[i] ?? 2, 5);
    }
  });

  it("leaves nothing of vector, line maps and codes behind, wherever they lay in memory", () => {
    const sent = requestOf(someoneHere);
    for (const offset of [0, 1, 2, 3]) {
      const seen: Signature[] = [];
      const search = (probe: Signature) => {
        expect(probe).toEqual(someoneHere);
        seen.push(probe);
        return [];
      };
      const body = new Uint8Array(sent.length + offset).subarray(offset);
      body.set(sent);
      expect(ask(body, { ...gallery, search }).status).toBe("SEARCHED");
      expect(body.every((byte) => byte === 0)).toBe(true);
      expect(seen).toHaveLength(1);
      for (const { vector, lines, codes } of seen) {
        expect(vector.every((number) => number === 0)).toBe(true);
        for (const words of [lines, codes]) expect(words.every((word) => word === 0)).toBe(true);
      }
    }
  });

  const { vector, lines, codes } = someoneHere;
  it.each<[string, Partial<Signature>]>([
    ["no line maps", { lines: new Uint32Array() }],
    ["the line maps of a template", { lines: templateOf(someoneHere).lines }],
    ["a word of line maps too few", { lines: lines.subarray(1) }],
    ["a word of line maps too many", { lines: Uint32Array.of(...lines, 0) }],
    ["no codes", { codes: new Uint32Array() }],
    ["the codes of a template", { codes: templateOf(someoneHere).codes }],
    ["a word of codes too few", { codes: codes.subarray(1) }],
  ])("with %s is refused with a status and no candidates", (_, wrong) => {
    const { status, message } = ask(requestOf({ ...someoneHere, ...wrong }), gallery);
    expect(status).toBe("PROBE_INVALID");
    expect(message.candidates).toEqual([]);
  });

  it("with line maps cut inside a word is refused", () => {
    const cut = { lines: bytesOf(lines).subarray(1), codes: bytesOf(codes) };
    const body = request({ probe: bytesOf(vector), ...cut });
    expect(ask(body, gallery).status).toBe("PROBE_INVALID");
  });
});

describe("an applied request", () => {
  class Source implements AppliedSource {
    appliedSequence = 10;
    storeFull = false;
    present = new Set<string>();
    forgotten: string[] = [];
    holds = (member: string) => this.present.has(member);
    forgetKey = (member: string) => this.forgotten.push(member);
  }
  const setUp = () => {
    const source = new Source();
    const count = { waiting: 0 };
    const desk = new AppliedDesk(source, "w", count);
    const answers: string[] = [];
    const put = (streamSequence: number, waitMs: number, erased?: Uint8Array) =>
      desk.ask(
        encode(bus.AppliedRequest, { streamSequence, waitMs, ...(erased ? { erasedMemberId: erased } : {}) }),
        (reply) => answers.push(bus.AppliedStatus[decode(bus.AppliedReply, reply)?.status ?? 0] ?? ""),
      );
    return { source, count, desk, answers, put };
  };

  it("is answered at once when applied, and when it must not wait", () => {
    const { answers, put } = setUp();
    put(10, 0);
    put(11, 0);
    expect(answers).toEqual(["APPLIED", "NOT_YET"]);
  });

  it("waits until the sequence is applied, and is answered once", () => {
    const { source, desk, answers, put, count } = setUp();
    put(11, 5000);
    put(12, 5000);
    desk.changed();
    expect(answers).toEqual([]);
    source.appliedSequence = 11;
    desk.changed();
    desk.changed();
    expect(answers).toEqual(["APPLIED"]);
    expect(count.waiting).toBe(1);
    desk.close();
    expect(answers).toEqual(["APPLIED", "NOT_YET"]);
    expect(count.waiting).toBe(0);
  });

  it("ends with NOT_YET when its time is up", async () => {
    const { desk, source } = setUp();
    const status = await new Promise<number | undefined>((resolve) => {
      desk.ask(
        encode(bus.AppliedRequest, { streamSequence: source.appliedSequence + 1, waitMs: 30 }),
        (reply) => resolve(decode(bus.AppliedReply, reply)?.status),
      );
    });
    expect(status).toBe(bus.AppliedStatus.NOT_YET);
  });

  it("is told that the store is full, also while it waits, but not for what is applied already", () => {
    const { source, desk, answers, put } = setUp();
    put(11, 5000);
    source.storeFull = true;
    desk.changed();
    put(12, 5000);
    put(10, 5000);
    expect(answers).toEqual(["STORE_FULL", "STORE_FULL", "APPLIED"]);
  });

  it("confirms an erasure only when nothing of the member is left, its key neither", () => {
    const { source, answers, put } = setUp();
    const erased = fromHex(memberHex(7));
    source.present.add(memberHex(7));
    put(10, 0, erased);
    put(11, 0, erased);
    expect(source.forgotten).toEqual([]);
    source.present.clear();
    put(10, 0, erased);
    expect(answers).toEqual(["STILL_PRESENT", "NOT_YET", "APPLIED"]);
    expect(source.forgotten).toEqual([memberHex(7)]);
  });

  it("does not wait when too many wait already", () => {
    const { desk, answers, put, count } = setUp();
    for (let i = 0; i < MAX_WAITING_APPLIED; i++) put(11, 5000);
    expect(answers).toEqual([]);
    put(11, 5000);
    expect(answers).toEqual(["NOT_YET"]);
    expect(count.waiting).toBe(MAX_WAITING_APPLIED);
    desk.close();
  });
});
