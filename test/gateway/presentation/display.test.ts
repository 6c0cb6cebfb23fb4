import { describe, expect, it } from "vitest";
import { DECISION_KEYS, GUIDE_KEYS, isDecisionReason } from "../../../gateway/presentation/display.js";
import { edge } from "../../../wire/codec.js";

const isName = (name: string): name is keyof typeof edge.Reason => Number.isNaN(Number(name));
const NAMES = Object.keys(edge.Reason).filter(isName);
const namesIn = (from: number, to: number) =>
  NAMES.filter((name) => edge.Reason[name] >= from && edge.Reason[name] <= to);

describe("the keys a lane is told", () => {
  it("guide with exactly the reasons 20 to 24 and 40 to 47", () => {
    expect(Object.keys(GUIDE_KEYS).sort()).toEqual([...namesIn(20, 24), ...namesIn(40, 47)].sort());
    expect(namesIn(40, 47)).toHaveLength(8);
  });

  it("end a presentation with every reason but those that need a whole hand to be seen", () => {
    const ending = NAMES.filter(isDecisionReason);
    expect(ending.sort()).toEqual([...namesIn(1, 39)].sort());
    expect(Object.keys(DECISION_KEYS).sort()).toEqual(ending);
  });

  it("are one for each guidance, so that a lane can show a light of its own", () => {
    const keys = Object.values(GUIDE_KEYS);
    expect(new Set(keys).size).toBe(keys.length);
  });
});
