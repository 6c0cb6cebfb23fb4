import { describe, expect, it } from "vitest";
import { Passages } from "../../../gateway/lane/passages.js";
import { SpentIds } from "../../../gateway/lane/spent-ids.js";

describe("passage tokens", () => {
  it("count once, for the device and presentation they were made for", () => {
    const passages = new Passages();
    const token = passages.issue("gate-1", "aa");
    expect(passages.redeem("gate-2", "aa", token)).toBe(false);
    expect(passages.redeem("gate-1", "bb", token)).toBe(false);
    expect(passages.redeem("gate-1", "aa", token)).toBe(true);
    expect(passages.redeem("gate-1", "aa", token)).toBe(false);
  });

  it("are never taken when they were never made", () => {
    expect(new Passages().redeem("gate-1", "aa", new Uint8Array(16))).toBe(false);
  });

  it("are remembered up to a bound; the oldest go first", () => {
    const passages = new Passages();
    const first = passages.issue("gate-1", "aa");
    for (let more = 0; more < 16_384; more++) passages.issue("gate-1", "aa");
    expect(passages.size).toBe(16_384);
    expect(passages.redeem("gate-1", "aa", first)).toBe(false);
  });
});

describe("presentation ids", () => {
  it("are used once on a device", () => {
    const ids = new SpentIds();
    expect(ids.usable("gate-1", "aa", "ENTRY", 1)).toBe(true);
    ids.spend("gate-1", "aa", 1);
    expect(ids.usable("gate-1", "aa", "ENTRY", 1)).toBe(false);
    expect(ids.usable("gate-1", "aa", "ENTRY", 2)).toBe(false);
    expect(ids.usable("gate-2", "aa", "ENTRY", 3)).toBe(true);
  });

  it("may ask for the answer to a payment again on a new link, not on the old one", () => {
    const ids = new SpentIds();
    ids.spend("till-1", "aa", 1);
    expect(ids.usable("till-1", "aa", "PAY", 1)).toBe(false);
    expect(ids.usable("till-1", "aa", "PAY", 2)).toBe(true);
    ids.spend("till-1", "aa", 2);
    expect(ids.usable("till-1", "aa", "PAY", 2)).toBe(false);
  });

  it("are remembered up to a bound for each device", () => {
    const ids = new SpentIds();
    for (let id = 0; id < 65; id++) ids.spend("gate-1", `id-${id}`, 1);
    expect(ids.usable("gate-1", "id-0", "ENTRY", 1)).toBe(true);
    expect(ids.usable("gate-1", "id-1", "ENTRY", 1)).toBe(false);
  });
});
