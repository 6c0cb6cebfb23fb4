// The laws of a payment, over random interleavings: two gateways, repeated presentations, passages, crashes between any
// two steps, a log and a processor that lose requests or answers. The code under test is the gateway's (PAY, grants,
// recorder) and the ledger's settle(); log and processor are models, small enough to be seen to be right.
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { payBy } from "../../../gateway/purposes/pay.js";
import { Grants } from "../../../gateway/record/grants.js";
import { Recorder } from "../../../gateway/record/recorder.js";
import { settle } from "../../../ledger/settle.js";
import { GIVE_UP_AFTER_MS } from "../../../ledger/settle-rule.js";
import {
  type AuthoriseAnswer,
  type EventLog,
  isPaymentEnd,
  LogUnavailableError,
  type MoveAnswer,
  openPaymentLog,
  type PaymentProcessor,
  type ProcessorState,
  type QueryAnswer,
} from "../../../records/index.js";
import { bus, decode, edge, encode } from "../../../wire/codec.js";
import { openLog } from "../../../wire/log.js";
import { decisionSubject, passageSubject, paymentSubject } from "../../../wire/subjects.js";
import { ALICE, factsOf, ORGANISATION } from "../support/front.js";
import { type MemoryLog, memoryLog, type Shelf } from "../support/memory-log.js";

const HEX = "0123456789abcdef0123456789abcdef";
const ID = new Uint8Array(Buffer.from(HEX, "hex"));
const PLACE = { organisation: ORGANISATION, presentationHex: HEX };
const CHARGE = { amountMinor: 999, currency: "EUR", orderRef: "1" };
const [SITE, DEVICE] = ["shop", "till-1"];
const DECISIONS = decisionSubject(ORGANISATION, SITE, DEVICE, HEX);
const PASSAGES = passageSubject(ORGANISATION, SITE, DEVICE, HEX);
const PAYMENTS = paymentSubject(ORGANISATION, HEX);
const MEMBER = factsOf(ALICE);
const PROCESSES = 2;
const REPORT_WITHIN_MS = 60_000;
const quiet = openLog("test");

type Fate = "done" | "answer lost" | "request lost";
type Issuer = "approves" | "declines" | "approves, silent" | "thinks";

/** A call on its way, waiting to be let through with some fate. */
interface Call {
  go(fate: Fate): void;
}

class World {
  readonly calls: Call[] = [];
  readonly lives = Array.from({ length: PROCESSES }, () => 0);
  readonly log: MemoryLog = memoryLog();
  readonly told: boolean[] = [];
  served = false;
  issuer = { state: "NOT_FOUND" as ProcessorState | "NOT_FOUND", takes: 0, asked: 0 };

  constructor(readonly behaviour: Issuer) {}

  /** Runs `act` when the schedule lets it; a process that died meanwhile never hears of it, and calls nobody any more. */
  call<T>(process: number, life: number, act: () => T | Promise<T>, lost: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.lives[process] !== life) return;
      this.calls.push({
        go: (fate) => {
          const answer = fate === "request lost" ? undefined : { value: act() };
          // The answer travels too: others may act before it arrives.
          const deliver = () => {
            if (this.lives[process] !== life) return;
            const heard = answer === undefined || fate === "answer lost" ? lost() : answer.value;
            Promise.resolve(heard).then(resolve, reject);
          };
          this.calls.push({ go: deliver });
        },
      });
    });
  }

  shelf(process: number): Shelf & Pick<EventLog, "all"> {
    const life = this.lives[process] ?? 0;
    const unavailable = { ok: false, code: "LOG_UNAVAILABLE", detail: "" } as const;
    const unread = () => Promise.reject(new LogUnavailableError("lost"));
    const { log } = this;
    const all = (subject: string) => log.events.filter((event) => event.subject === subject);
    return {
      append: (subject, body, options) =>
        this.call(
          process,
          life,
          () => log.append(subject, body, options),
          () => unavailable,
        ),
      last: (stream, subject) => this.call(process, life, () => log.last(stream, subject), unread),
      all: (_, subject) => this.call(process, life, () => all(subject), unread),
    };
  }

  processor(process: number): PaymentProcessor {
    const life = this.lives[process] ?? 0;
    const silent = { ok: false, code: "NO_ANSWER" } as const;
    const { issuer, behaviour } = this;
    const call = <T>(act: () => T) => this.call<T | typeof silent>(process, life, act, () => silent);
    const move = (from: string[], to: ProcessorState) =>
      call((): MoveAnswer => {
        if (issuer.state === to) return { ok: true };
        if (!from.includes(issuer.state)) return { ok: false, code: "REFUSED", state: issuer.state };
        issuer.state = to;
        if (to === "CAPTURED") issuer.takes++;
        return { ok: true };
      });
    return {
      name: "model",
      authorise: () =>
        call((): AuthoriseAnswer => {
          issuer.asked++;
          if (issuer.state === "NOT_FOUND") {
            if (behaviour === "declines") issuer.state = "DECLINED";
            else issuer.state = behaviour === "thinks" ? "PENDING" : "AUTHORISED";
          }
          if (issuer.state === "DECLINED" || issuer.state === "VOIDED") {
            return { ok: false, code: "DECLINED", declineCode: "do_not_honour" };
          }
          return behaviour === "approves" ? { ok: true, ref: "r" } : silent;
        }),
      capture: () => move(["AUTHORISED"], "CAPTURED"),
      void: () => move(["AUTHORISED", "PENDING", "DECLINED", "NOT_FOUND"], "VOIDED"),
      refund: () => move(["CAPTURED"], "REFUNDED"),
      query: () =>
        call(
          (): QueryAnswer =>
            issuer.state === "NOT_FOUND"
              ? { ok: true, state: "NOT_FOUND" }
              : { ok: true, state: issuer.state, ref: "r" },
        ),
      close: async () => {},
    };
  }

  /** One presentation at a gateway: pay, bring the grant into the record, and only then tell the lane. */
  async present(process: number): Promise<void> {
    const eventLog = this.shelf(process);
    const nowUnixMs = () => Date.now();
    const pay = payBy({
      log: openPaymentLog(eventLog),
      processor: this.processor(process),
      onStep: () => {},
      nowUnixMs,
    });
    const recorder = new Recorder(eventLog, quiet, 100);
    const grants = new Grants({
      eventLog,
      recorder,
      passages: { expect: () => {} },
      keyring: { busKey: () => new Uint8Array(32) },
      gatewayId: `gateway-${process}-${this.lives[process]}-${Math.random()}`,
      nowUnixMs,
    });
    const result = await pay.act(MEMBER, {
      presentationId: ID,
      presentationHex: HEX,
      organisation: ORGANISATION,
      site: SITE,
      deviceId: DEVICE,
      charge: CHARGE,
      deadlineAtMs: performance.now() + 7900,
    });
    const decision = { presentationId: ID, organisation: ORGANISATION, site: SITE, deviceId: DEVICE };
    const refusal = () => encode(bus.DecisionEvent, { ...decision, atUnixMs: nowUnixMs(), granted: false });
    if (!result.granted) {
      this.told.push(false);
      recorder.add({ subject: DECISIONS, body: refusal() });
      return;
    }
    const { booksRef } = MEMBER;
    const answer = await grants.record({ ...decision, booksRef }, { withinMs: 250, money: true, refusal });
    this.told.push(answer.kind === "GRANTED");
  }

  /** The lane heard "granted", the goods went, and its report is on record (it is sent until it is). */
  serve(): void {
    if (!this.told.includes(true) || this.served) return;
    this.served = true;
    const body = encode(bus.PassageEvent, { presentationId: ID, passage: edge.Passage.OPENED });
    void this.log.append(PASSAGES, body, { expectedSubjectSequence: 0 });
  }

  settle(process: number): Promise<unknown> {
    const eventLog = this.shelf(process);
    const processor = this.processor(process);
    return settle(
      {
        eventLog,
        payments: openPaymentLog(eventLog),
        processorOf: () => processor,
        ruleOf: () => ({ reportWithinMs: REPORT_WITHIN_MS, unreported: "void" }),
        ageMs: (_, { event }) => Date.now() - event.atUnixMs,
        nowUnixMs: () => Date.now(),
        onStep: () => {},
      },
      PLACE,
    );
  }

  crash(process: number): void {
    this.lives[process] = (this.lives[process] ?? 0) + 1;
  }

  get steps(): string[] {
    return this.log.events.flatMap(({ subject, body }) =>
      subject === PAYMENTS ? [bus.PaymentStep[decode(bus.PaymentEvent, body)?.step ?? 0] ?? ""] : [],
    );
  }
}

/** Lets every promise that can go on do so. */
const breathe = () => new Promise<void>((resolve) => setImmediate(resolve));

type Move =
  | { kind: "present" | "settle" | "crash"; process: number }
  | { kind: "let through"; which: number; fate: Fate }
  | { kind: "tick" | "time" | "serve" };

const process = fc.nat(PROCESSES - 1);
const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("present" as const), process }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("settle" as const), process }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("crash" as const), process }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("tick" as const, "serve" as const) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "time" as const }) },
  {
    weight: 14,
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

/** Where the random part starts: at a fresh presentation, or at the worst places for a crash. */
const BEGINNINGS: Move[][] = [
  [{ kind: "present", process: 0 }],
  [
    { kind: "present", process: 0 },
    ...letThrough(5),
    { kind: "crash", process: 0 },
    { kind: "present", process: 1 },
  ],
  [{ kind: "present", process: 0 }, ...letThrough(7), { kind: "present", process: 1 }],
  // Held, and refused for want of the log's answer; the refusal is on record when the lane asks again.
  [
    { kind: "present", process: 0 },
    ...letThrough(4),
    { kind: "let through", which: 0, fate: "answer lost" },
    ...letThrough(1),
    { kind: "tick" },
    ...letThrough(2),
    { kind: "present", process: 1 },
    ...letThrough(6),
    { kind: "settle", process: 0 },
    ...letThrough(6),
  ],
];

async function play(world: World, moves: readonly Move[]): Promise<void> {
  for (const each of moves) {
    if (each.kind === "present") void world.present(each.process);
    else if (each.kind === "settle") void world.settle(each.process);
    else if (each.kind === "crash") world.crash(each.process);
    else if (each.kind === "serve") world.serve();
    else if (each.kind === "tick") await vi.advanceTimersByTimeAsync(260);
    else if (each.kind === "let through") {
      world.calls.splice(each.which % Math.max(1, world.calls.length), 1)[0]?.go(each.fate);
    } else if (!world.told.includes(true) || world.served) {
      // What was granted is reported, if at all, within the site's time.
      await vi.advanceTimersByTimeAsync(GIVE_UP_AFTER_MS);
    }
    await breathe();
  }
}

/** Everything works again: calls get through, the clock moves, somebody settles. */
async function calmDown(world: World): Promise<void> {
  const drain = async () => {
    for (let calls = 0; calls < 300; calls++) {
      await breathe();
      const next = world.calls.shift();
      if (next === undefined) {
        await vi.advanceTimersByTimeAsync(20);
        if (world.calls.length === 0) return;
      } else next.go("done");
    }
  };
  for (let rounds = 0; rounds < 4; rounds++) {
    await vi.advanceTimersByTimeAsync(300);
    await drain();
  }
  for (let rounds = 0; rounds < 5; rounds++) {
    await vi.advanceTimersByTimeAsync(REPORT_WITHIN_MS);
    await drain();
    const settled = world.settle(rounds % PROCESSES);
    await drain();
    await settled;
    if (world.issuer.state === "PENDING") world.issuer.state = "AUTHORISED";
  }
}

beforeEach(() => {
  // The clock is the schedule's: no timer fires by itself.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a payment, whatever is lost and whoever crashes", () => {
  it("is held once, taken once when the goods were served, never when not, and comes to its end", async () => {
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
          // Never a second authorisation, not even one that the processor would have answered from memory.
          expect(asked).toBeLessThanOrEqual(1);
          expect(takes).toBe(world.served ? 1 : 0);
          const last = world.steps.at(-1);
          if (last !== undefined) {
            const step = bus.PaymentStep[last as keyof typeof bus.PaymentStep];
            expect(isPaymentEnd(step)).toBe(true);
          }
          if (world.served) expect([last, state]).toEqual(["CAPTURED", "CAPTURED"]);
          else expect(["NOT_FOUND", "VOIDED", "DECLINED"]).toContain(state);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("is granted and paid when nothing goes wrong, so that the law above is not kept by refusing everybody", async () => {
    const world = new World("approves");
    await play(world, [{ kind: "present", process: 0 }, ...letThrough(8), { kind: "serve" }]);
    expect([world.told, world.served]).toEqual([[true], true]);
    await calmDown(world);
    expect(world.steps).toEqual(["REQUESTED", "AUTHORISED", "CAPTURED"]);
  });
});
