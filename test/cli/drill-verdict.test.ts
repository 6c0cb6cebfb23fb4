// The judge of the drills: each fault counts once, and nothing else does.
import { describe, expect, it } from "vitest";
import { type Found, isClean, judge, type Operations, type Presented } from "../../cli/drill/verdict.js";

const presented = (more: Partial<Presented> = {}): Presented => ({
  person: 1,
  truth: "me",
  erased: [],
  unsure: false,
  outcome: "MATCH",
  pairwiseId: "me",
  granted: true,
  served: true,
  presentationHex: "p1",
  orderRef: undefined,
  ...more,
});
const order = (more: Partial<Presented> = {}) => presented({ orderRef: "o1", ...more });
const done = (more: Partial<Operations> = {}): Operations => ({
  presented: [presented()],
  living: [{ person: 1, memberId: "m1" }],
  erased: [],
  ...more,
});
const found = (more: Partial<Found> = {}): Found => ({
  members: new Set(["m1"]),
  living: 1,
  grants: new Map([["p1", 1]]),
  payments: new Map(),
  takes: new Map(),
  ...more,
});
const payment = (captured: boolean) => new Map([["p1", { orderRef: "o1", captured, open: false }]]);

/** What counts, by name; everything else is 0. */
function faults(operations: Operations, record: Found): Record<string, number> {
  const verdict = judge(1, operations, record);
  const { rounds: _, presentations: __, ...rest } = verdict;
  expect(isClean(verdict)).toBe(Object.entries(rest).every(([name, n]) => n === 0 || name === "undecided"));
  return Object.fromEntries(Object.entries(rest).filter(([, n]) => n !== 0));
}

describe("the verdict of a drill", () => {
  it("is clean when everybody was who they are and every order was paid and served once", () => {
    expect(faults(done(), found())).toEqual({});
    expect(
      faults(done({ presented: [order()] }), found({ payments: payment(true), takes: new Map([["p1", 1]]) })),
    ).toEqual({});
  });

  it("lets people be told 'one moment', and orders be let go", () => {
    const waiting = presented({ outcome: "UNDECIDED", pairwiseId: "", granted: false, served: false });
    expect(faults(done({ presented: [waiting] }), found())).toEqual({ undecided: 1 });
    const letGo = order({ served: false });
    expect(faults(done({ presented: [letGo] }), found({ payments: payment(false) }))).toEqual({});
  });

  it.each([
    ["a member taken for another", { pairwiseId: "other" }],
    ["a stranger taken for a member", { truth: undefined, pairwiseId: "other" }],
    ["an erased member recognised", { truth: undefined, unsure: true, erased: ["me"] }],
  ])("counts %s as wrong", (_, more) => {
    expect(faults(done({ presented: [presented(more)] }), found())).toMatchObject({ wrong: 1 });
  });

  it("counts a member whom nobody knew as missed, and not one who was just enrolled or erased", () => {
    const unknown = { outcome: "NO_MATCH", pairwiseId: "", granted: false, served: false } as const;
    expect(faults(done({ presented: [presented(unknown)] }), found())).toEqual({ missed: 1 });
    const two = { ...unknown, outcome: "AMBIGUOUS" } as const;
    expect(faults(done({ presented: [presented(two)] }), found())).toEqual({ missed: 1 });
    expect(faults(done({ presented: [presented({ ...unknown, unsure: true })] }), found())).toEqual({});
  });

  it("counts members and grants that are not in the record as lost", () => {
    expect(faults(done(), found({ members: new Set() }))).toEqual({ lost: 1 });
    expect(faults(done(), found({ grants: new Map() }))).toEqual({ lost: 1 });
  });

  it("counts a presentation granted twice, and a member whom nobody was told of, as doubled", () => {
    expect(faults(done(), found({ grants: new Map([["p1", 2]]) }))).toEqual({ doubled: 1 });
    expect(faults(done(), found({ living: 2 }))).toEqual({ doubled: 1 });
  });

  it("counts an erased member whom the desk knows as resurrected", () => {
    expect(faults(done({ living: [], erased: [{ person: 1, memberId: "m1" }] }), found())).toEqual({
      resurrected: 1,
    });
  });

  it("counts an order paid twice, also over two presentations of it", () => {
    const payments = new Map([
      ["p1", { orderRef: "o1", captured: true, open: false }],
      ["p2", { orderRef: "o1", captured: true, open: false }],
    ]);
    const twice = [
      order({ served: false, outcome: "NO_DECISION", pairwiseId: "" }),
      order({ presentationHex: "p2" }),
    ];
    const grants = new Map([["p2", 1]]);
    expect(faults(done({ presented: twice }), found({ payments, grants }))).toEqual({
      undecided: 1,
      paidTwice: 1,
    });
    const takes = new Map([["p1", 2]]);
    expect(faults(done({ presented: [order()] }), found({ payments: payment(true), takes }))).toEqual({
      paidTwice: 1,
    });
  });

  it("counts an order that was paid and not served, and one that was served and not paid", () => {
    expect(
      faults(done({ presented: [order({ served: false })] }), found({ payments: payment(true) })),
    ).toEqual({
      paidNotServed: 1,
    });
    expect(faults(done({ presented: [order()] }), found({ payments: payment(false) }))).toEqual({
      servedNotPaid: 1,
    });
  });
});
