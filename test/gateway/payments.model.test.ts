// The laws of a payment, over random interleavings: two gateways, repeated presentations, crashes between any two
// steps, a log and a processor that lose requests or answers. The code under test is pay() and settle(); log and
// processor are models, small enough to be seen to be right.
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type PayDeps, pay } from "../../gateway/payments/pay.js";
import type { LastStep, PaymentAt, PaymentLog, StepAppended } from "../../gateway/payments/payment-log.js";
import type {
  AuthoriseAnswer,
  DeclineCode,
  MoveAnswer,
  PaymentProcessor,
  ProcessorState,
  QueryAnswer,
} from "../../gateway/payments/processor.js";
import { GIVE_UP_AFTER_MS, isEnd, settle } from "../../gateway/payments/settle.js";
import type { ActResult } from "../../gateway/seams.js";
import { bus } from "../../wire/codec.js";

const HEX = "0123456789abcdef0123456789abcdef";
const GATEWAYS = 2;
type Fate = "done" | "answer lost" | "request lost";
type Issuer = "approves" | "declines" | "approves, silent" | "thinks";

/** A call on its way, waiting to be let through with some fate. */
interface Call {
  gateway: number;
  life: number;
  go(fate: Fate): void;
}

class World {
  calls: Call[] = [];
  lives = Array.from({ length: GATEWAYS }, () => 0);
  running = Array.from({ length: GATEWAYS }, () => 0);
  steps: PaymentAt[] = [];
  sequence = 0;
  granted = false;
  results: ActResult[] = [];
  refusedAt = Array.from({ length: GATEWAYS }, () => undefined as number | undefined);
  issuer: {
    state: ProcessorState | "NOT_FOUND";
    declineCode: DeclineCode;
    takes: number;
    asked: number;
  };

  constructor(readonly behaviour: Issuer) {
    this.issuer = { state: "NOT_FOUND", declineCode: "do_not_honour", takes: 0, asked: 0 };
  }

  /** Runs `act` when the schedule lets it; a gateway that died meanwhile never hears of it. */
  call<T>(gateway: number, act: () => T, lost: T): Promise<T> {
    const life = this.lives[gateway] ?? 0;
    return new Promise((resolve) => {
      this.calls.push({
        gateway,
        life,
        go: (fate) => {
          const answer = fate === "request lost" ? lost : act();
          const deliver = () => {
            if (this.lives[gateway] === life) resolve(fate === "answer lost" ? lost : answer);
          };
          // The answer travels too: others may act before it arrives.
          this.calls.push({ gateway, life, go: deliver });
        },
      });
    });
  }

  log(gateway: number): PaymentLog {
    const unavailable = { ok: false, code: "LOG_UNAVAILABLE" } as const;
    return {
      append: (_hex, event, expected) =>
        this.call<StepAppended>(
          gateway,
          () => {
            if ((this.steps.at(-1)?.sequence ?? 0) !== expected)
              return { ok: false, code: "CONFLICT" } as const;
            this.steps.push({ sequence: ++this.sequence, event });
            return { ok: true, sequence: this.sequence } as const;
          },
          unavailable,
        ),
      last: () =>
        this.call<LastStep>(gateway, () => ({ ok: true, at: this.steps.at(-1) }) as const, unavailable),
    };
  }

  processor(gateway: number): PaymentProcessor {
    const silent = { ok: false, code: "NO_ANSWER" } as const;
    const { issuer, behaviour } = this;
    const move = (from: string[], to: ProcessorState) => () => {
      if (issuer.state === to) return { ok: true } as const;
      if (!from.includes(issuer.state)) return { ok: false, code: "REFUSED", state: issuer.state } as const;
      issuer.state = to;
      if (to === "CAPTURED") issuer.takes++;
      return { ok: true } as const;
    };
    return {
      name: "model",
      authorise: () =>
        this.call<AuthoriseAnswer>(
          gateway,
          () => {
            issuer.asked++;
            if (issuer.state === "NOT_FOUND") {
              if (behaviour === "declines") issuer.state = "DECLINED";
              else {
                issuer.state = behaviour === "thinks" ? "PENDING" : "AUTHORISED";
              }
            }
            if (issuer.state === "DECLINED" || issuer.state === "VOIDED") {
              return { ok: false, code: "DECLINED", declineCode: issuer.declineCode } as const;
            }
            return behaviour === "approves" ? ({ ok: true, ref: "r" } as const) : silent;
          },
          silent,
        ),
      capture: () => this.call<MoveAnswer>(gateway, move(["AUTHORISED"], "CAPTURED"), silent),
      void: () =>
        this.call<MoveAnswer>(
          gateway,
          move(["AUTHORISED", "PENDING", "DECLINED", "NOT_FOUND"], "VOIDED"),
          silent,
        ),
      refund: () => this.call<MoveAnswer>(gateway, move(["CAPTURED"], "REFUNDED"), silent),
      query: () =>
        this.call<QueryAnswer>(
          gateway,
          () =>
            issuer.state === "NOT_FOUND"
              ? ({ ok: true, state: "NOT_FOUND" } as const)
              : ({ ok: true, state: issuer.state, ref: "r" } as const),
          silent,
        ),
      close: async () => {},
    };
  }

  present(gateway: number): void {
    const life = this.lives[gateway];
    const deps: PayDeps = {
      log: this.log(gateway),
      processor: this.processor(gateway),
      onStep: () => {},
      nowMs: () => 0,
      settleSoon: () => {
        this.refusedAt[gateway] = Date.now();
      },
    };
    this.refusedAt[gateway] = undefined;
    this.running[gateway] = (this.running[gateway] ?? 0) + 1;
    void pay(deps, {
      presentationHex: HEX,
      presentationId: Buffer.from(HEX, "hex"),
      memberId: Buffer.alloc(16, 7),
      site: "shop",
      charge: { amountMinor: 999, currency: "EUR", orderRef: "1" },
      instrument: { processor: "model", token: "tok", brand: "visa", last4: "4242" },
      deadlineAtMs: 1e9,
    }).then((result) => {
      if (this.lives[gateway] !== life) return;
      this.results.push(result);
      // The gateway answers the lane and puts the decision on record.
      const recorded = this.call(gateway, () => (this.granted ||= result.granted), false);
      void recorded.then(() => {
        this.running[gateway] = (this.running[gateway] ?? 0) - 1;
      });
    });
  }

  settle(gateway: number): Promise<unknown> {
    return settle(
      {
        log: this.log(gateway),
        processor: this.processor(gateway),
        wasGranted: () => this.granted,
        grantsKnown: () => true,
        refusedAtUnixMs: () => this.refusedAt[gateway],
        onStep: () => {},
      },
      HEX,
    );
  }

  crash(gateway: number): void {
    this.lives[gateway] = (this.lives[gateway] ?? 0) + 1;
    this.running[gateway] = 0;
    this.refusedAt[gateway] = undefined;
  }

  get presenting(): boolean {
    return this.running.some((count) => count > 0);
  }
}

/** Lets every promise that can go on do so. */
const breathe = () => new Promise<void>((resolve) => setImmediate(resolve));

type Move =
  | { kind: "present" | "settle" | "crash"; gateway: number }
  | { kind: "let through"; which: number; fate: Fate }
  | { kind: "time" };

const gateway = fc.nat(GATEWAYS - 1);
const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("present" as const), gateway }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("settle" as const), gateway }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("crash" as const), gateway }) },
  { weight: 1, arbitrary: fc.constant({ kind: "time" as const }) },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant("let through" as const),
      which: fc.nat(7),
      fate: fc.oneof(
        { weight: 6, arbitrary: fc.constant("done" as const) },
        { weight: 1, arbitrary: fc.constant("answer lost" as const) },
        { weight: 1, arbitrary: fc.constant("request lost" as const) },
      ),
    }),
  },
);
const issuer = fc.constantFrom<Issuer>("approves", "declines", "approves, silent", "thinks");

const letThrough = (times: number): Move[] =>
  Array.from({ length: times }, () => ({ kind: "let through", which: 0, fate: "done" }));

/** Where the random part starts: at a fresh presentation, or at the worst place for a crash. */
const BEGINNINGS: Move[][] = [
  [{ kind: "present", gateway: 0 }],
  [
    { kind: "present", gateway: 0 },
    ...letThrough(5), // AUTHORISED is stored, nobody was told
    { kind: "crash", gateway: 0 },
    { kind: "time" },
    { kind: "settle", gateway: 1 },
    { kind: "present", gateway: 0 },
  ],
];

async function play(world: World, moves: readonly Move[]): Promise<void> {
  for (const each of moves) {
    vi.setSystemTime(Date.now() + 1);
    if (each.kind === "present") world.present(each.gateway);
    else if (each.kind === "settle") void world.settle(each.gateway);
    else if (each.kind === "crash") world.crash(each.gateway);
    else if (each.kind === "let through") {
      world.calls.splice(each.which % Math.max(1, world.calls.length), 1)[0]?.go(each.fate);
    } else if (!world.presenting) {
      // A presentation lives a second; only afterwards does the clock move by more.
      vi.setSystemTime(Date.now() + GIVE_UP_AFTER_MS);
    }
    await breathe();
  }
}

/** Everything works again: calls get through, the clock moves, somebody settles. */
async function calmDown(world: World): Promise<void> {
  const drain = async () => {
    for (let calls = 0; calls < 200; calls++) {
      await breathe();
      const next = world.calls.shift();
      if (!next) return;
      next.go("done");
    }
  };
  await drain();
  for (let rounds = 0; rounds < 5; rounds++) {
    vi.setSystemTime(Date.now() + GIVE_UP_AFTER_MS + 1);
    const settled = world.settle(rounds % GATEWAYS);
    await drain();
    await settled;
    if (world.issuer.state === "PENDING") world.issuer.state = "AUTHORISED";
  }
}

beforeEach(() => {
  // The clock is the schedule's: no timer fires by itself.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a payment, whatever is lost and whoever crashes", () => {
  it("is taken at most once, only when the lane was granted, and comes to its end", async () => {
    await fc.assert(
      fc.asyncProperty(
        issuer,
        fc.constantFrom(...BEGINNINGS),
        fc.array(move, { minLength: 5, maxLength: 60 }),
        async (behaviour, beginning, moves) => {
          const world = new World(behaviour);
          await play(world, [...beginning, ...moves]);
          await calmDown(world);

          const { takes, asked, state } = world.issuer;
          expect(takes).toBeLessThanOrEqual(1);
          // Never a second authorisation, not even one that the processor would have answered from memory.
          expect(asked).toBeLessThanOrEqual(1);
          if (takes === 1) expect(world.results.some(({ granted }) => granted)).toBe(true);
          const last = world.steps.at(-1)?.event.step;
          if (last !== undefined) expect(isEnd(last)).toBe(true);
          // What the lane was told is what the record and the processor say in the end.
          if (world.granted) expect([last, state, takes]).toEqual([bus.PaymentStep.CAPTURED, "CAPTURED", 1]);
          else expect(["NOT_FOUND", "VOIDED", "DECLINED"]).toContain(state);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("is granted when nothing goes wrong, so that the law above is not kept by refusing everybody", async () => {
    const world = new World("approves");
    await play(world, [{ kind: "present", gateway: 0 }, ...letThrough(7)]);
    expect(world.results).toMatchObject([{ granted: true }]);
    await calmDown(world);
    expect(world.steps.map(({ event }) => bus.PaymentStep[event.step])).toEqual([
      "REQUESTED",
      "AUTHORISED",
      "CAPTURED",
    ]);
  });
});
