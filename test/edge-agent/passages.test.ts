// What became of a granted Decision, until it is on record: the reports on the link, and the bounds of what waits.
import fc from "fast-check";
import { afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { startAgent } from "../../edge-agent/agent.js";
import type { Gate } from "../../edge-agent/gate.js";
import type { PassageStore, Stored, StoredPassage } from "../../edge-agent/passage-store.js";
import { memoryStore } from "../../edge-agent/passage-store.js";
import { type PassageOf, Passages, type Reporter } from "../../edge-agent/passages.js";
import { edge } from "../../wire/codec.js";
import { toHex } from "../../wire/hex.js";
import { PASSAGE_TOKEN_BYTES, PRESENTATION_ID_BYTES } from "../../wire/limits.js";
import { agentOptions, images, listLog, openGateway, openLane, QUICK } from "./lane.js";

const { Passage } = edge;
const CHARGE = { amountMinor: 1250, currency: "EUR", orderRef: "order-1" };
const NEVER = { leastMs: 600_000, firstCeilingMs: 600_000, mostMs: 600_000 };
/** Reports are repeated quickly; links too. */
const EAGER = { reconnect: QUICK, report: QUICK };

/** A gate that a test lets go. */
function heldGate(): Gate & { asked: Promise<void>; release: () => void } {
  let release = () => {};
  let ask = () => {};
  const asked = new Promise<void>((resolve) => {
    ask = resolve;
  });
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const open = async () => {
    ask();
    await released;
    return { ok: true as const };
  };
  return { asked, release: () => release(), open };
}

describe("a passage on the link", () => {
  it("is reported again until it is acknowledged, and not after that", async () => {
    const { agent, connection } = await openLane({ acks: false }, { timings: EAGER });
    const presenting = agent.present(images(1));
    connection.decide(await connection.frame());
    await presenting;
    const report = await connection.report();
    for (let again = 0; again < 3; again++) expect(await connection.report()).toEqual(report);
    connection.acknowledge(report);
    await connection.settled();
    while (connection.unreadReports() > 0) await connection.report();
    await connection.settled();
    expect(connection.unreadReports()).toBe(0);
  });

  it("is reported to the gateway that the lane comes back to when the acknowledgement was lost", async () => {
    const { agent, gateway, connection } = await openLane({ acks: false });
    const presenting = agent.present(images(1));
    const decision = connection.decide(await connection.frame());
    await presenting;
    const first = await connection.report();
    connection.socket.terminate();
    const second = await gateway.connection();
    expect(await second.report()).toEqual(first);
    expect(first).toMatchObject({ passage: Passage.OPENED, presentationId: decision.presentationId });
    second.acknowledge(first);
    await second.settled();
    second.socket.terminate();
    const third = await gateway.connection();
    await third.settled();
    expect(third.unreadReports()).toBe(0);
  });

  it("is reported on the next link when the gate was moving while the link dropped", async () => {
    const gate = heldGate();
    const { agent, gateway, connection } = await openLane({}, { gate });
    const presenting = agent.present(images(1));
    const { presentationId } = connection.decide(await connection.frame());
    await gate.asked;
    connection.socket.terminate();
    const second = await gateway.connection();
    await second.hello();
    gate.release();
    expect(await presenting).toMatchObject({ passage: Passage.OPENED });
    expect(await second.report()).toMatchObject({ presentationId, passage: Passage.OPENED });
  });

  it("is given up when a gateway knows its token for false, and said", async () => {
    const { log, lines } = listLog();
    const { agent, gateway, connection } = await openLane({ acks: false }, { timings: EAGER, log });
    const presenting = agent.present(images(1));
    connection.decide(await connection.frame());
    await presenting;
    const { presentationId = null } = await connection.report();
    connection.send({ error: { code: edge.ErrorCode.TOKEN_INVALID, presentationId, message: "not ours" } });
    await connection.settled();
    connection.socket.terminate();
    const second = await gateway.connection();
    await second.settled();
    expect(second.unreadReports()).toBe(0);
    expect(lines).toContainEqual({ level: "error", text: expect.stringContaining("not reported again") });
  });

  it("is waited for when the lane closes: its report is acknowledged first", async () => {
    const { agent, connection } = await openLane({ acks: false });
    const presenting = agent.present(images(1));
    connection.decide(await connection.frame());
    await presenting;
    const closing = agent.close();
    connection.acknowledge(await connection.report());
    await closing;
    expect(await connection.closed).toBe(1000);
  });

  it("that one Decision granted twice, with a new valid_until and even with a new token, opens once", async () => {
    let opened = 0;
    const gate: Gate = {
      open: async () => {
        opened += 1;
        return { ok: true };
      },
    };
    const { agent, gateway, connection } = await openLane({}, { gate });
    const presenting = agent.present(images(1));
    const frame = await connection.frame();
    const decision = connection.decide(frame);
    expect(await presenting).toMatchObject({ passage: Passage.OPENED });
    connection.send({ decision: { ...decision, validUntilUnixMs: gateway.nowMs() + 60_000 } });
    connection.decide(frame, { validUntilUnixMs: gateway.nowMs() + 60_000 });
    const { presentationId } = decision;
    const again = agent.present(images(1), { charge: CHARGE, presentationId: presentationId ?? undefined });
    connection.decide(await connection.frame());
    expect(await again).toMatchObject({ kind: "decision", passage: undefined });
    await connection.report();
    await connection.settled();
    expect(connection.unreadReports()).toBe(0);
    expect(opened).toBe(1);
  });
});

describe("a passage of an earlier run", () => {
  it("does not open again when it is granted once more", async () => {
    const presentationId = new Uint8Array(PRESENTATION_ID_BYTES).fill(7);
    const token = toHex(new Uint8Array(PASSAGE_TOKEN_BYTES).fill(7));
    const left = [{ presentation: toHex(presentationId), token, step: "OPENED" as const, atUnixMs: 1 }];
    let opened = 0;
    const gate: Gate = {
      open: async () => {
        opened += 1;
        return { ok: true };
      },
    };
    const { agent, connection } = await openLane({}, { gate, passageStore: { ...memoryStore, left } });
    expect((await connection.report()).passage).toBe(Passage.OPENED);
    const presenting = agent.present(images(1), { presentationId });
    connection.decide(await connection.frame());
    expect(await presenting).toMatchObject({ kind: "decision", passage: undefined });
    expect(opened).toBe(0);
  });
});

// ---------------------------------------------------------------- without a socket

const passage = (n: number): PassageOf => ({
  presentationId: new Uint8Array(PRESENTATION_ID_BYTES).fill(n & 0xff).fill(n >> 8, 0, 1),
  passageToken: new Uint8Array(PASSAGE_TOKEN_BYTES).fill(1),
});
const nameOf = (n: number) => toHex(passage(n).presentationId);

function fakeStore(put: (passage: StoredPassage) => Promise<Stored>, left: StoredPassage[] = []) {
  const steps: string[] = [];
  const removed: string[] = [];
  const store: PassageStore = {
    left,
    put: (stored) => {
      steps.push(stored.step);
      return put(stored);
    },
    remove: (presentation) => void removed.push(presentation),
    close: async () => {},
  };
  return { store, steps, removed };
}

const OK: Stored = { ok: true };
const FULL: Stored = { ok: false, why: "no space" };

function openPassages(store: PassageStore = memoryStore, pauses = NEVER) {
  const counts = { sent: 0, acknowledged: 0, refused: 0, given_up: 0, waiting: 0, journal: true };
  const { log, lines } = listLog();
  const passages = new Passages({
    store,
    pauses,
    log,
    counters: {
      report: (result) => {
        counts[result] += 1;
      },
      passagesWaiting: (count) => {
        counts.waiting = count;
      },
      journal: (works) => {
        counts.journal = works;
      },
    },
  });
  onTestFinished(() => passages.close());
  return { passages, counts, lines };
}

function reporter() {
  const reports: string[] = [];
  const sendReport: Reporter["sendReport"] = ({ presentationId, passage: what }) => {
    reports.push(`${toHex(presentationId ?? new Uint8Array())} ${Passage[what ?? 0]}`);
    return true;
  };
  return { reports, sendReport };
}

describe("passages", () => {
  afterEach(() => vi.useRealTimers());

  it("are in the store before anything moves, and before anything is reported", async () => {
    const order: string[] = [];
    const { store } = fakeStore(async ({ step }) => {
      order.push(step);
      return OK;
    });
    const { passages } = openPassages(store);
    passages.linked({ sendReport: () => order.push("report") > 0 });
    expect(await passages.opening(passage(1), false)).toBe(true);
    passages.started(passage(1));
    await passages.ended(passage(1), Passage.OPENED);
    expect(order).toEqual(["OPENING", "STARTED", "OPENED", "report"]);
  });

  it("of an earlier run are reported as what is known of them", () => {
    const token = toHex(passage(1).passageToken);
    const steps = ["OPENING", "STARTED", "OPENED", "EXPIRED", "FAILED"] as const;
    const left = steps.map((step, n) => ({ presentation: nameOf(n), token, step, atUnixMs: n }));
    const { passages, counts } = openPassages(fakeStore(async () => OK, left).store);
    const link = reporter();
    passages.linked(link);
    expect(link.reports).toEqual(
      ["FAILED", "OPENED", "OPENED", "EXPIRED", "FAILED"].map((what, n) => `${nameOf(n)} ${what}`),
    );
    expect(counts.waiting).toBe(5);
    expect(passages.left()).toHaveLength(5);
  });

  it("that wait are bounded: the oldest is given up, counted and said", async () => {
    const { store, removed } = fakeStore(async () => OK);
    const { passages, counts, lines } = openPassages(store);
    for (let n = 0; n < 4100; n++) await passages.ended(passage(n), Passage.OPENED);
    expect(counts).toMatchObject({ waiting: 4096, given_up: 4 });
    expect(removed).toEqual([0, 1, 2, 3].map(nameOf));
    expect(lines.filter(({ text }) => text.includes("given up"))).toHaveLength(4);
  });

  it("that a gateway does not acknowledge hold no others up", async () => {
    vi.useFakeTimers();
    const { passages } = openPassages(memoryStore, QUICK);
    for (let n = 0; n < 80; n++) await passages.ended(passage(n), Passage.OPENED);
    const link = reporter();
    passages.linked(link);
    expect(link.reports).toHaveLength(32);
    vi.advanceTimersByTime(3 * QUICK.mostMs);
    expect(new Set(link.reports).size).toBe(80);
  });

  it("are each reported on every link until they are acknowledged, never after, in whatever order things happen", async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("end" as const), n: fc.nat(200) }),
      fc.record({ do: fc.constant("ack" as const), n: fc.nat(200) }),
      fc.record({ do: fc.constant("link" as const), n: fc.constant(0) }),
      fc.record({ do: fc.constant("unlink" as const), n: fc.constant(0) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        const { passages, counts } = openPassages();
        const waiting = new Set<string>();
        const known = new Set<number>();
        let link: ReturnType<typeof reporter> | undefined;
        for (const { do: what, n } of steps) {
          const before = link?.reports.length ?? 0;
          if (what === "end" && !known.has(n)) {
            known.add(n);
            waiting.add(`${nameOf(n)} OPENED`);
            await passages.ended(passage(n), Passage.OPENED);
            if (link) expect(link.reports.slice(before)).toEqual([`${nameOf(n)} OPENED`]);
          } else if (what === "ack") {
            waiting.delete(`${nameOf(n)} OPENED`);
            passages.acknowledged(passage(n).presentationId);
          } else if (what === "link") {
            link = reporter();
            passages.linked(link);
            // All that waits goes out, the rest of a long list as acknowledgements make room.
            expect(link.reports).toEqual([...waiting].slice(0, 32));
          } else if (what === "unlink") {
            link = undefined;
            passages.unlinked();
          }
          for (const report of link?.reports.slice(before) ?? []) {
            if (what !== "link") expect(waiting).toContain(report);
          }
          expect(counts.waiting).toBe(waiting.size);
        }
        const last = reporter();
        passages.linked(last);
        for (let n = 0; n <= 200; n++) passages.acknowledged(passage(n).presentationId);
        expect(new Set(last.reports)).toEqual(waiting);
        expect(counts.waiting).toBe(0);
        await passages.close();
      }),
      { numRuns: 50 },
    );
  });
});

describe("without a store that takes it", () => {
  afterEach(() => vi.useRealTimers());
  const { store: full } = fakeStore(async () => FULL);

  it("an entry opens, and its passage is reported from memory", async () => {
    const { passages, counts, lines } = openPassages(full);
    const link = reporter();
    passages.linked(link);
    for (const n of [1, 2]) {
      expect(await passages.opening(passage(n), false)).toBe(true);
      await passages.ended(passage(n), Passage.OPENED);
    }
    expect(link.reports).toEqual([1, 2].map((n) => `${nameOf(n)} OPENED`));
    expect(counts.journal).toBe(false);
    expect(lines.filter(({ text }) => text.includes("a crash now loses them"))).toHaveLength(1);
  });

  it("a paid passage opens only when all earlier ones are acknowledged: a crash can lose one", async () => {
    const { passages } = openPassages(full);
    passages.linked(reporter());
    expect(await passages.opening(passage(1), true)).toBe(true);
    await passages.ended(passage(1), Passage.OPENED);
    expect(await passages.opening(passage(2), true)).toBe(false);
    passages.acknowledged(passage(1).presentationId);
    expect(await passages.opening(passage(3), true)).toBe(true);
  });

  it("nobody waits for a disk that hangs", async () => {
    vi.useFakeTimers();
    const { passages, counts } = openPassages(fakeStore(() => new Promise(() => {})).store);
    const opening = passages.opening(passage(1), false);
    await vi.advanceTimersByTimeAsync(500);
    expect(await opening).toBe(true);
    expect(counts.journal).toBe(false);
  });

  it("the gate of a till stays shut for the second passage, and says so", async () => {
    const { agent, connection, lines } = await openLane(
      { acks: false, welcome: { purpose: edge.Purpose.PAY } },
      { passageStore: full },
    );
    const present = async () => {
      const presenting = agent.present(images(1), { charge: CHARGE });
      connection.decide(await connection.frame());
      const end = await presenting;
      return end.kind === "decision" ? end.passage : end.kind;
    };
    expect(await present()).toBe(Passage.OPENED);
    expect(await present()).toBe(Passage.FAILED);
    expect(lines).toContainEqual({ level: "error", text: expect.stringContaining("not opened") });
    connection.acknowledge(await connection.report());
    connection.acknowledge(await connection.report());
    await connection.settled();
    expect(await present()).toBe(Passage.OPENED);
  });

  it("a store that is slow does not open a gate after valid_until", async () => {
    const gateway = await openGateway();
    let stored: (stored: Stored) => void = () => {};
    let asked: () => void = () => {};
    const isAsked = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const { store, steps } = fakeStore(({ step }) => {
      if (step !== "OPENING") return Promise.resolve(OK);
      asked();
      return new Promise((resolve) => {
        stored = resolve;
      });
    });
    const agent = await startAgent(agentOptions(gateway, { passageStore: store }));
    onTestFinished(() => agent.close());
    const connection = await gateway.connection();
    const presenting = agent.present(images(1));
    connection.decide(await connection.frame(), { validUntilUnixMs: gateway.nowMs() + 150 });
    await isAsked;
    for (let n = 0; n < 6; n++) await connection.nextHeartbeat();
    stored(OK);
    expect(await presenting).toMatchObject({ passage: Passage.EXPIRED });
    expect(steps).toEqual(["OPENING", "EXPIRED"]);
  });
});
