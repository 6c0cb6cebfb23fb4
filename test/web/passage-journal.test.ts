// What a browser lane keeps of passages, over reloads of its page.
import { describe, expect, it } from "vitest";
import type { StoredPassage } from "../../edge-agent/passage-store.js";
import { type LocalStorage, openPassageJournal } from "../../web/lane/passage-journal.js";

/** A browser's storage, as far as it is used. */
function fakeStorage(entries: Record<string, string> = {}): LocalStorage & { keys(): string[] } {
  const map = new Map(Object.entries(entries));
  return {
    get length() {
      return map.size;
    },
    key: (index) => [...map.keys()][index] ?? null,
    getItem: (key) => map.get(key) ?? null,
    setItem: (key, value) => void map.set(key, value),
    removeItem: (key) => void map.delete(key),
    keys: () => [...map.keys()],
  };
}

const passage = (n: number, step: StoredPassage["step"] = "OPENED"): StoredPassage => ({
  presentation: n.toString(16).padStart(32, "0"),
  token: "ab".repeat(24),
  step,
  atUnixMs: 1000 + n,
});

describe("a browser's journal of passages", () => {
  it("leaves to the next page what was put and not removed, oldest first, each with its newest step", async () => {
    const storage = fakeStorage({ "palmgate-amount": "4.20" });
    const journal = openPassageJournal(storage, "web-1");
    for (const each of [passage(2, "OPENING"), passage(1, "STARTED"), passage(2), passage(3)]) {
      expect(await journal.put(each)).toEqual({ ok: true });
    }
    journal.remove(passage(3).presentation);
    expect(openPassageJournal(storage, "web-1").left).toEqual([passage(1, "STARTED"), passage(2)]);
    expect(storage.getItem("palmgate-amount")).toBe("4.20");
  });

  it("removes what is no passage, and what another device of this browser left", async () => {
    const storage = fakeStorage({
      "palmgate-passage/web-1/x": "{}",
      [`palmgate-passage/web-1/${passage(7).presentation}`]: "no JSON",
      "palmgate-amount": "4.20",
    });
    await openPassageJournal(storage, "web-0").put(passage(1));
    expect(openPassageJournal(storage, "web-1").left).toEqual([]);
    expect(storage.keys()).toEqual(["palmgate-amount"]);
  });

  it("answers what a full or closed storage says", async () => {
    const refuse = () => {
      throw new DOMException("no room", "QuotaExceededError");
    };
    const full = { ...fakeStorage(), setItem: refuse, removeItem: refuse };
    const journal = openPassageJournal(full, "web-1");
    expect(await journal.put(passage(1))).toEqual({ ok: false, why: "no room" });
    journal.remove(passage(1).presentation);
  });
});
