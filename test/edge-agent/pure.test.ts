import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { backoffMs, RECONNECT_BACKOFF, REFUSED_BACKOFF } from "../../edge-agent/backoff.js";
import { GatewayClock } from "../../edge-agent/clock.js";
import type { ConnectionEnd } from "../../edge-agent/connection.js";
import type { ErrorName } from "../../edge-agent/conversation.js";
import { Credits } from "../../edge-agent/credits.js";
import { mayOpen, PassageMemory } from "../../edge-agent/gate.js";
import { linkUrl } from "../../edge-agent/link.js";
import { readTerms } from "../../edge-agent/terms.js";
import { Turns } from "../../edge-agent/turns.js";
import { edge } from "../../wire/codec.js";
import { PASSAGE_TOKEN_BYTES, PRESENTATION_ID_BYTES } from "../../wire/limits.js";

const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe("backoff", () => {
  it("stays between its bounds and under the ceiling of its attempt, for every attempt and every throw", () => {
    fc.assert(
      fc.property(
        fc.nat(2000),
        random,
        fc.constantFrom(RECONNECT_BACKOFF, REFUSED_BACKOFF),
        (attempt, dice, bounds) => {
          const waitMs = backoffMs(attempt, dice, bounds);
          expect(waitMs).toBeGreaterThanOrEqual(bounds.leastMs);
          expect(waitMs).toBeLessThanOrEqual(Math.min(bounds.mostMs, bounds.firstCeilingMs * 2 ** attempt));
        },
      ),
    );
  });

  it("spreads lanes over the whole ceiling: no two throws share a wait", () => {
    fc.assert(
      fc.property(fc.nat(20), random, random, (attempt, a, b) => {
        fc.pre(Math.abs(a - b) > 1e-6);
        const apartMs = Math.abs(
          backoffMs(attempt, a, RECONNECT_BACKOFF) - backoffMs(attempt, b, RECONNECT_BACKOFF),
        );
        const ceilingMs = Math.min(RECONNECT_BACKOFF.mostMs, RECONNECT_BACKOFF.firstCeilingMs * 2 ** attempt);
        expect(apartMs).toBeCloseTo(Math.abs(a - b) * (ceilingMs - RECONNECT_BACKOFF.leastMs), 6);
      }),
    );
  });
});

describe("credits", () => {
  it("lets out exactly as many frames as the highest limit told, in whatever order limits came", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(30), { minLength: 1, maxLength: 40 }), ([first = 0, ...limits]) => {
        const credits = new Credits(first);
        let sent = 0;
        let highest = first;
        for (const limit of limits) {
          credits.raise(limit);
          highest = Math.max(highest, limit);
          while (credits.take()) sent += 1;
          expect(sent).toBe(highest);
        }
      }),
    );
  });
});

describe("the gateway's clock, seen from the lane", () => {
  const exchange = fc.record({
    waitMs: fc.double({ min: 0, max: 10_000, noNaN: true }),
    outMs: fc.double({ min: 0, max: 300, noNaN: true }),
    backMs: fc.double({ min: 0, max: 300, noNaN: true }),
  });

  it("is never outside its bounds, however the delays fall out and while clocks drift within the limit", () => {
    fc.assert(
      fc.property(
        fc.double({ min: -1e6, max: 1e6, noNaN: true }),
        fc.double({ min: -400e-6, max: 400e-6, noNaN: true }),
        fc.array(exchange, { minLength: 1, maxLength: 30 }),
        fc.double({ min: 0, max: 20_000, noNaN: true }),
        (offsetMs, drift, exchanges, afterMs) => {
          let laneMs = 1_800_000_000_000;
          const gatewayAt = (lane: number) => lane + offsetMs + (lane - 1_800_000_000_000) * drift;
          let clock: GatewayClock | undefined;
          for (const { waitMs, outMs, backMs } of exchanges) {
            const sentMs = laneMs + waitMs;
            laneMs = sentMs + outMs + backMs;
            const told = { sentMs, receivedMs: laneMs, gatewayMs: Math.floor(gatewayAt(sentMs + outMs)) };
            if (clock) clock.add(told);
            else clock = new GatewayClock(told);
          }
          const now = laneMs + afterMs;
          // 1e-3 ms: what doubles round at this size.
          expect(clock?.latestMs(now)).toBeGreaterThanOrEqual(gatewayAt(now) - 1e-3);
          expect(clock?.earliestMs(now)).toBeLessThanOrEqual(gatewayAt(now) + 1e-3);
        },
      ),
    );
  });

  it("is known within half of the quickest round trip, give or take what a clock told and drifted", () => {
    const clock = new GatewayClock({ sentMs: 0, receivedMs: 400, gatewayMs: 1200 });
    clock.add({ sentMs: 1000, receivedMs: 1002, gatewayMs: 2001 });
    const { offsetMs, uncertaintyMs } = clock.estimate(1002);
    expect(uncertaintyMs).toBeLessThanOrEqual(1.5);
    expect(Math.abs(offsetMs - 1000)).toBeLessThanOrEqual(uncertaintyMs);
  });

  it("is learnt anew when one of the clocks was set", () => {
    const clock = new GatewayClock({ sentMs: 0, receivedMs: 2, gatewayMs: 1 });
    clock.add({ sentMs: 1000, receivedMs: 1002, gatewayMs: 61_001 });
    expect(clock.latestMs(1002)).toBeGreaterThanOrEqual(61_002);
    expect(clock.latestMs(1002)).toBeLessThan(61_010);
  });
});

describe("the law of the gate", () => {
  const NOW_MS = 1_800_000_000_000;
  const tokenOf = (n: number) => new Uint8Array(PASSAGE_TOKEN_BYTES).fill(n);
  const idOf = (n: number) => new Uint8Array(PRESENTATION_ID_BYTES).fill(n);
  const step = fc.record({
    passageToken: fc.nat(5).map(tokenOf),
    presentationId: fc.nat(5).map(idOf),
    granted: fc.boolean(),
    outcome: fc.constantFrom(edge.Outcome.MATCH, edge.Outcome.NO_MATCH, edge.Outcome.UNDECIDED),
    validForMs: fc.integer({ min: -5000, max: 5000 }),
    waitMs: fc.nat(3000),
  });

  it("opens at most once per token and once per presentation, only what was granted, never after valid_until", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const seen = new PassageMemory();
        const opened = new Set<string>();
        let nowMs = NOW_MS;
        for (const { presentationId, passageToken, granted, outcome, validForMs, waitMs } of steps) {
          nowMs += waitMs;
          const of = { presentationId, passageToken };
          const verdict = mayOpen(
            { ...of, granted, outcome, validUntilUnixMs: nowMs + validForMs },
            nowMs,
            seen,
          );
          const keys = [`token ${passageToken}`, `presentation ${presentationId}`];
          const isFresh = !keys.some((key) => opened.has(key));
          const mustOpen = granted && outcome === edge.Outcome.MATCH && validForMs >= 0 && isFresh;
          expect(verdict === "OPEN").toBe(mustOpen);
          if (verdict !== "OPEN") continue;
          seen.remember(of);
          for (const key of keys) opened.add(key);
        }
      }),
    );
  });

  it("counts what it cannot know against opening: after a slow exchange the gateway may be later than it said", () => {
    const clock = new GatewayClock({ sentMs: NOW_MS, receivedMs: NOW_MS + 300, gatewayMs: NOW_MS + 300 });
    const ids = { presentationId: idOf(1), passageToken: tokenOf(1) };
    const decision = { ...ids, granted: true, outcome: edge.Outcome.MATCH };
    const verdictAt = (validUntilUnixMs: number) =>
      mayOpen({ ...decision, validUntilUnixMs }, clock.latestMs(NOW_MS + 300), new PassageMemory());
    expect(verdictAt(NOW_MS + 450)).toBe("EXPIRED");
    expect(verdictAt(NOW_MS + 602)).toBe("OPEN");
  });

  it.each([
    [0, 16],
    [16, 16],
    [23, 16],
    [25, 16],
    [24, 0],
    [24, 15],
  ])("stays shut for a token of %i bytes, for a presentation of %i", (tokenBytes, idBytes) => {
    const decision = {
      granted: true,
      outcome: edge.Outcome.MATCH,
      presentationId: new Uint8Array(idBytes),
      passageToken: new Uint8Array(tokenBytes),
      validUntilUnixMs: NOW_MS + 1000,
    };
    expect(mayOpen(decision, NOW_MS, new PassageMemory())).toBe("MALFORMED");
  });

  it("remembers a bounded number of passages and forgets the oldest", () => {
    const memory = new PassageMemory(2);
    const passages = [1, 2, 3].map((n) => ({ presentationId: idOf(n), passageToken: tokenOf(n) }));
    for (const n of [0, 1, 1, 2]) memory.remember(passages[n] ?? raise());
    expect(passages.map((each) => memory.has(each))).toEqual([false, true, true]);
  });

  const raise = (): never => {
    throw new Error("unreachable");
  };
});

describe("whose turn it is", () => {
  const timings = { stableAfterMs: 100, reconnect: RECONNECT_BACKOFF, refused: REFUSED_BACKOFF };
  const lost: ConnectionEnd = { kind: "lost", why: "" };
  const refused = (code: ErrorName): ConnectionEnd => ({
    kind: "refused",
    code,
    message: "",
    protocolVersions: [],
  });
  const anyEnd = fc.constantFrom(lost, refused("SHUTTING_DOWN"), refused("UNAUTHENTICATED"));

  it("is the next gateway's after every end, at once until all have failed in a row, and then after a wait", () => {
    const step = fc.record({ end: anyEnd, holds: fc.boolean(), random });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 40 }), (gateways, steps) => {
        const turns = new Turns(gateways, timings);
        let failed = 0;
        for (const [index, { end, holds, random: dice }] of steps.entries()) {
          expect(turns.at).toBe(index % gateways);
          const waitMs = turns.ended(end, holds ? 100 : 99, dice);
          failed = holds ? 1 : failed + 1;
          if (failed < gateways) expect(waitMs).toBe(0);
          else expect(waitMs).toBeGreaterThanOrEqual(RECONNECT_BACKOFF.leastMs);
          if (failed >= gateways) failed = 0;
        }
      }),
    );
  });

  it("waits longer from round to round, and quickly again after a connection that held", () => {
    const turns = new Turns(2, timings);
    const most = 1 - 1e-9;
    const waits = Array.from({ length: 8 }, () => turns.ended(lost, 0, most)).filter((ms) => ms > 0);
    expect(waits.map(Math.round)).toEqual([200, 400, 800, 1600]);
    expect(turns.ended(lost, 100, most)).toBe(0);
    expect(Math.round(turns.ended(lost, 0, most))).toBe(200);
  });

  it("waits long only when every gateway refuses for what a person must mend", () => {
    const turns = new Turns(2, timings);
    expect(turns.ended(refused("UNAUTHENTICATED"), 0, 0)).toBe(0);
    expect(turns.ended(refused("UNAUTHENTICATED"), 0, 0)).toBe(REFUSED_BACKOFF.leastMs);
    expect(turns.ended(refused("UNAUTHENTICATED"), 0, 0)).toBe(0);
    expect(turns.ended(lost, 0, 0)).toBe(RECONNECT_BACKOFF.leastMs);
  });

  it("does not push back at the next gateway when another lane of the same name has pushed it out", () => {
    const turns = new Turns(3, timings);
    expect(turns.ended(refused("DUPLICATE_DEVICE"), 60_000, 0)).toBe(REFUSED_BACKOFF.leastMs);
  });
});

describe("addresses and terms", () => {
  it.each([
    ["http://gate.example:8080", "ws://gate.example:8080/link"],
    ["https://gate.example", "wss://gate.example/link"],
    ["wss://gate.example/edge/link", "wss://gate.example/edge/link"],
  ])("makes the link of %s: %s", (gateway, link) => {
    expect(linkUrl(new URL(gateway)).href).toBe(link);
  });

  it("brings a Welcome's numbers inside bounds, whatever they are", () => {
    const number = fc.integer({ min: 0, max: 0xffff_ffff });
    fc.assert(
      fc.property(number, number, number, (heartbeatIntervalMs, presentationDeadlineMs, frames) => {
        const terms = readTerms({
          heartbeatIntervalMs,
          presentationDeadlineMs,
          maxFramesPerPresentation: frames,
        });
        expect(terms.heartbeatIntervalMs).toBeGreaterThanOrEqual(20);
        expect(terms.heartbeatIntervalMs).toBeLessThanOrEqual(60_000);
        expect(terms.presentationDeadlineMs).toBeLessThanOrEqual(60_000);
        expect(terms.maxFramesPerPresentation).toBeGreaterThanOrEqual(1);
      }),
    );
  });
});
