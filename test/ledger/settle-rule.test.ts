// The rule of settlement, as a table and as laws over all situations.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GIVE_UP_AFTER_MS, nextAction, passageReport, type Situation } from "../../ledger/settle-rule.js";
import { bus, edge } from "../../wire/codec.js";
import { MONEY_DEADLINE_MS } from "../../wire/limits.js";

const { PaymentStep } = bus;

const RULE = { reportWithinMs: 60_000, unreported: "void" } as const;
const SITUATION: Situation = {
  step: PaymentStep.AUTHORISED,
  why: "",
  ageMs: 0,
  decision: "GRANTED",
  passage: "NONE",
  rule: RULE,
};

describe("what a payment needs", () => {
  const CAPTURE_RULE = { ...RULE, unreported: "capture" } as const;
  it.each<[string, Partial<Situation>, string]>([
    ["asked for just now", { step: PaymentStep.REQUESTED, decision: "NONE" }, "NOTHING"],
    ["asked for long ago", { step: PaymentStep.REQUESTED, ageMs: GIVE_UP_AFTER_MS }, "LET_GO given_up"],
    ["served", { passage: "SERVED" }, "CAPTURE passage"],
    ["the gate failed", { passage: "GATE_FAILED" }, "LET_GO gate_failed"],
    ["the decision was not heard", { passage: "NOT_HEARD" }, "LET_GO not_heard"],
    ["granted, not reported yet", { ageMs: 59_999 }, "NOTHING"],
    ["granted, never reported", { ageMs: 60_000 }, "LET_GO unreported"],
    [
      "granted, never reported, where that means served",
      { ageMs: 60_000, rule: CAPTURE_RULE },
      "CAPTURE unreported",
    ],
    ["the lane was refused", { decision: "REFUSED" }, "LET_GO given_up"],
    ["nothing decided yet", { decision: "NONE", ageMs: GIVE_UP_AFTER_MS - 1 }, "NOTHING"],
    ["never decided", { decision: "NONE", ageMs: GIVE_UP_AFTER_MS }, "LET_GO given_up"],
    [
      "never decided, where unreported means served",
      { decision: "NONE", ageMs: 1e6, rule: CAPTURE_RULE },
      "LET_GO given_up",
    ],
    ["unknown", { step: PaymentStep.UNKNOWN }, "RESOLVE"],
    [
      "taken, and the gate failed",
      { step: PaymentStep.CAPTURED, passage: "GATE_FAILED" },
      "GIVE_BACK gate_failed",
    ],
    ["taken, and served", { step: PaymentStep.CAPTURED, passage: "SERVED" }, "NOTHING"],
    ["let go, and served", { step: PaymentStep.VOIDED, why: "unreported", passage: "SERVED" }, "NOTE_LOSS"],
    ["let go, served and noted", { step: PaymentStep.VOIDED, why: "served", passage: "SERVED" }, "NOTHING"],
    ["declined", { step: PaymentStep.DECLINED }, "NOTHING"],
    ["given back", { step: PaymentStep.REFUNDED, passage: "GATE_FAILED" }, "NOTHING"],
  ])("when %s", (_, changed, expected) => {
    const action = nextAction({ ...SITUATION, ...changed });
    expect("why" in action ? `${action.do} ${action.why}` : action.do).toBe(expected);
  });

  const situations = fc.record<Situation>({
    step: fc.constantFrom(...[1, 2, 3, 4, 5, 6, 7].map((step) => step as bus.PaymentStep)),
    why: fc.constantFrom("", "unreported", "served"),
    ageMs: fc.nat(200_000),
    decision: fc.constantFrom("NONE", "GRANTED", "REFUSED"),
    passage: fc.constantFrom("NONE", "SERVED", "GATE_FAILED", "NOT_HEARD"),
    rule: fc.record({ reportWithinMs: fc.nat(100_000), unreported: fc.constantFrom("void", "capture") }),
  });

  it("never takes money for what was reported as not served, nor lets go what was served", () => {
    fc.assert(
      fc.property(situations, (situation) => {
        const action = nextAction(situation).do;
        // REQUESTED has the fence first; what is served then is captured by RESOLVE (settlement.test.ts).
        if (situation.step === PaymentStep.REQUESTED) return;
        if (situation.passage === "SERVED") expect(["LET_GO", "GIVE_BACK"]).not.toContain(action);
        if (situation.passage === "GATE_FAILED" || situation.passage === "NOT_HEARD")
          expect(action).not.toBe("CAPTURE");
      }),
    );
  });

  it("takes money only for a lane that was granted", () => {
    fc.assert(
      fc.property(situations, (situation) => {
        if (nextAction(situation).do !== "CAPTURE") return;
        expect(situation.passage === "SERVED" || situation.decision === "GRANTED").toBe(true);
      }),
    );
  });

  it("brings everything to its end in time: what waits says until when", () => {
    fc.assert(
      fc.property(situations, (situation) => {
        const action = nextAction(situation);
        if (action.do !== "NOTHING" || action.waitMs === undefined) return;
        const later = nextAction({ ...situation, ageMs: situation.ageMs + action.waitMs });
        expect(later.do).not.toBe("NOTHING");
      }),
    );
  });

  it("gives a gateway longer than it ever works on a payment", () => {
    expect(GIVE_UP_AFTER_MS).toBeGreaterThan(2 * MONEY_DEADLINE_MS);
  });

  it("reads a passage as the lane reports it", () => {
    const { Passage } = edge;
    expect([Passage.OPENED, Passage.FAILED, Passage.EXPIRED, 0, 99, undefined].map(passageReport)).toEqual([
      ...["SERVED", "GATE_FAILED", "NOT_HEARD"],
      ...["NONE", "NONE", "NONE"],
    ]);
  });
});
