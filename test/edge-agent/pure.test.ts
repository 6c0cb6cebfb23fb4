import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { backoffMs, RECONNECT_BACKOFF, REFUSED_BACKOFF } from "../../edge-agent/backoff.js";
import { GatewayClock } from "../../edge-agent/clock.js";
import { Credits } from "../../edge-agent/credits.js";
import { mayOpen, TokenMemory } from "../../edge-agent/gate.js";
import { linkUrl } from "../../edge-agent/link.js";
import { readTerms } from "../../edge-agent/terms.js";
import { edge } from "../../wire/codec.js";

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

  it("is never later than the bound, however the delays fall out and while clocks drift within the limit", () => {
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
  const token = fc.nat(5).map((n) => new Uint8Array(16).fill(n));
  const step = fc.record({
    token,
    granted: fc.boolean(),
    outcome: fc.constantFrom(edge.Outcome.MATCH, edge.Outcome.NO_MATCH, edge.Outcome.UNDECIDED),
    validForMs: fc.integer({ min: -5000, max: 5000 }),
    waitMs: fc.nat(3000),
  });

  it("opens at most once per token, only what was granted, never after valid_until", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const seen = new TokenMemory();
        const opened = new Set<string>();
        let nowMs = NOW_MS;
        for (const { token: passageToken, granted, outcome, validForMs, waitMs } of steps) {
          nowMs += waitMs;
          const validUntilUnixMs = nowMs + validForMs;
          const verdict = mayOpen({ granted, outcome, passageToken, validUntilUnixMs }, nowMs, seen);
          const key = String(passageToken);
          const mustOpen = granted && outcome === edge.Outcome.MATCH && validForMs >= 0 && !opened.has(key);
          expect(verdict === "OPEN").toBe(mustOpen);
          if (verdict !== "OPEN") continue;
          seen.remember(passageToken);
          opened.add(key);
        }
      }),
    );
  });

  it("counts what it cannot know against opening: after a slow exchange the gateway may be later than it said", () => {
    const clock = new GatewayClock({ sentMs: NOW_MS, receivedMs: NOW_MS + 300, gatewayMs: NOW_MS + 300 });
    const decision = { granted: true, outcome: edge.Outcome.MATCH, passageToken: new Uint8Array(16) };
    const verdictAt = (validUntilUnixMs: number) =>
      mayOpen({ ...decision, validUntilUnixMs }, clock.latestMs(NOW_MS + 300), new TokenMemory());
    expect(verdictAt(NOW_MS + 450)).toBe("EXPIRED");
    expect(verdictAt(NOW_MS + 602)).toBe("OPEN");
  });

  it.each([0, 15, 17])("stays shut for a token of %i bytes", (length) => {
    const decision = {
      granted: true,
      outcome: edge.Outcome.MATCH,
      passageToken: new Uint8Array(length),
      validUntilUnixMs: NOW_MS + 1000,
    };
    expect(mayOpen(decision, NOW_MS, new TokenMemory())).toBe("MALFORMED");
  });

  it("remembers a bounded number of tokens and forgets the oldest", () => {
    const memory = new TokenMemory(2);
    const [first, second, third] = [1, 2, 3].map((n) => new Uint8Array(16).fill(n));
    if (!first || !second || !third) throw new Error("unreachable");
    for (const each of [first, second, second, third]) memory.remember(each);
    expect([first, second, third].map((each) => memory.has(each))).toEqual([false, true, true]);
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
