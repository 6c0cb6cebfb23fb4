import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type LogEvent, openView, type View, type ViewTables } from "../../records/index.js";
import { tempDir } from "./support/rig.js";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (body: Uint8Array | undefined) => body && new TextDecoder().decode(body);

/** A small owner: "<key>=<value>" puts, "<key>" removes; every event is counted in a second table. */
function applyOne({ body }: LogEvent, tables: ViewTables): void {
  const [key = "", value] = new TextDecoder().decode(body).split("=");
  const entries = tables.table("entries");
  if (value === undefined) entries.remove(key);
  else entries.put(key, bytes(value));
  const counts = tables.table("counts");
  counts.put(key, bytes(String(Number(text(counts.get(key)) ?? "0") + 1)));
}

const event = (sequence: number, body: string): LogEvent => ({
  subject: "members.g.0.x",
  sequence,
  atUnixMs: 0,
  body: bytes(body),
});

function stateOf(view: View): Record<string, Record<string, string | undefined>> {
  const dump = (name: string) =>
    Object.fromEntries([...view.table(name).range()].map(({ key, value }) => [key, text(value)]));
  return { entries: dump("entries"), counts: dump("counts") };
}

describe("view", () => {
  let dir: string;
  let view: View;
  beforeEach(() => {
    dir = tempDir();
    view = openView({ path: join(dir, "view") });
  });
  afterEach(async () => {
    await view.close();
    rmSync(dir, { recursive: true, force: true });
  });

  it("starts at sequence 0, with empty tables", () => {
    expect(view.sequence("MEMBERS:g/0")).toBe(0);
    expect([...view.table("entries").range()]).toEqual([]);
    expect(view.table("entries").get("a")).toBeUndefined();
    expect(view.table("entries").count()).toBe(0);
  });

  it("applies events with their sequence, and goes on there after a restart", async () => {
    expect(await view.apply("s", [event(3, "a=1"), event(7, "b=2")], applyOne)).toEqual({ ok: true });
    expect(view.sequence("s")).toBe(7);
    await view.close();
    view = openView({ path: join(dir, "view") });
    expect(view.sequence("s")).toBe(7);
    expect(view.sequence("another")).toBe(0);
    await view.apply("s", [event(3, "a=9"), event(7, "b=9"), event(8, "a")], applyOne);
    expect(stateOf(view)).toEqual({ entries: { b: "2" }, counts: { a: "2", b: "1" } });
    expect(view.table("entries").count()).toBe(1);
  });

  it("undoes a batch whole when one of its events throws", async () => {
    await view.apply("s", [event(1, "a=1")], applyOne);
    const failing = view.apply("s", [event(2, "b=2"), event(3, "c=3")], (each, tables) => {
      if (each.sequence === 3) throw new Error("bug");
      applyOne(each, tables);
      tables.table("made-in-vain").put("x", bytes("x"));
    });
    await expect(failing).rejects.toThrow("bug");
    expect([view.sequence("s"), stateOf(view).entries]).toEqual([1, { a: "1" }]);
    expect(view.table("made-in-vain").count()).toBe(0);
    await view.apply("s", [event(2, "b=2"), event(3, "c=3")], applyOne);
    expect(stateOf(view).entries).toEqual({ a: "1", b: "2", c: "3" });
  });

  it("refuses events out of order instead of losing one", async () => {
    await expect(view.apply("s", [event(2, "a=1"), event(1, "b=1")], applyOne)).rejects.toThrow(
      /out of order/,
    );
    expect(view.sequence("s")).toBe(0);
  });

  it("comes to the same state however the events are split, repeated and cut off by crashes", async () => {
    const bodies = fc.array(
      fc.oneof(
        fc.tuple(fc.constantFrom("a", "b", "c", "d"), fc.nat(9)).map(([key, value]) => `${key}=${value}`),
        fc.constantFrom("a", "b", "c", "d"),
      ),
      { minLength: 1, maxLength: 20 },
    );
    /** Where each delivery starts again, how long it is, and whether it ends in a crash before or after the commit. */
    const deliveries = fc.array(
      fc.record({
        back: fc.nat(5),
        length: fc.integer({ min: 1, max: 8 }),
        crash: fc.constantFrom("no", "during", "after"),
      }),
      { maxLength: 12 },
    );
    let run = 0;
    await fc.assert(
      fc.asyncProperty(bodies, fc.integer({ min: 1, max: 4 }), deliveries, async (texts, gap, plan) => {
        const events = texts.map((body, at) => event((at + 1) * gap, body));
        const expected = openView({ path: join(dir, `e${run}`) });
        for (const each of events) await expected.apply("s", [each], applyOne);
        const path = join(dir, `v${run++}`);
        let actual = openView({ path });
        for (const { back, length, crash } of [
          ...plan,
          { back: 0, length: events.length, crash: "no" as const },
        ]) {
          const reached = events.findLastIndex(({ sequence }) => sequence <= actual.sequence("s")) + 1;
          const batch = events.slice(Math.max(0, reached - back), reached + length);
          const applied = actual.apply("s", batch, (each, tables) => {
            applyOne(each, tables);
            if (crash === "during" && each === batch.at(-1)) throw new Error("crash");
          });
          await applied.catch((error: Error) => expect(error.message).toBe("crash"));
          if (crash === "no") continue;
          await actual.close();
          actual = openView({ path });
        }
        expect(stateOf(actual)).toEqual(stateOf(expected));
        expect(actual.sequence("s")).toBe(expected.sequence("s"));
        await actual.close();
        await expected.close();
      }),
      { numRuns: 40 },
    );
  });

  it("walks keys in their order, both ways, between bounds, and hands out copies", async () => {
    const keys = ["a", "aa", "b", "b/1", "b/2", "c", "ü"];
    await view.apply(
      "s",
      keys.map((key, at) => event(at + 1, `${key}=${key}!`)),
      applyOne,
    );
    const table = view.table("entries");
    const walk = (options = {}) => [...table.range(options)].map(({ key }) => key);
    expect(walk()).toEqual(keys);
    expect(walk({ reverse: true })).toEqual(keys.toReversed());
    expect(walk({ start: "b", end: "c" })).toEqual(["b", "b/1", "b/2"]);
    expect(walk({ start: "b/2", end: "aa", reverse: true })).toEqual(["b/2", "b/1", "b"]);
    expect(walk({ limit: 2 })).toEqual(["a", "aa"]);
    expect(walk({ start: "bb", limit: 1 })).toEqual(["c"]);
    const first = table.get("a");
    const second = table.get("b");
    expect([text(first), text(second)]).toEqual(["a!", "b!"]);
    const entries = [...table.range()];
    await view.apply("s", [event(100, "a=changed")], applyOne);
    expect([text(first), text(entries[0]?.value)]).toEqual(["a!", "a!"]);
  });

  it("walks tables of more than a page, also while they change", async () => {
    const keys = Array.from({ length: 1000 }, (_, at) => String(at).padStart(4, "0"));
    await view.apply(
      "s",
      keys.map((key, at) => event(at + 1, `${key}=v`)),
      applyOne,
    );
    const table = view.table("entries");
    expect([...table.range()].map(({ key }) => key)).toEqual(keys);
    expect([...table.range({ reverse: true })].map(({ key }) => key)).toEqual(keys.toReversed());
    expect([...table.range({ limit: 300 })]).toHaveLength(300);
    expect([...table.range({ limit: 512 })]).toHaveLength(512);
    const seen: string[] = [];
    for (const { key } of table.range()) {
      seen.push(key);
      if (key === "0100") await view.apply("s", [event(2000, "0900"), event(2001, "0950=new")], applyOne);
    }
    expect(seen).toEqual(keys.filter((key) => key !== "0900"));
    expect(table.count()).toBe(999);
  });

  it("refuses with STORE_FULL at its quota, keeps its place, serves reads, and goes on when there is room", async () => {
    const path = join(dir, "small");
    let small = openView({ path, mapSizeBytes: 512 * 1024 });
    const big = (sequence: number) => event(sequence, `k${sequence}=${"x".repeat(20_000)}`);
    let sequence = 0;
    let refused: unknown;
    while (sequence < 100) {
      const applied = await small.apply("s", [big(sequence + 1)], applyOne);
      if (!applied.ok) {
        refused = applied;
        break;
      }
      sequence++;
    }
    expect(refused).toMatchObject({ ok: false, code: "STORE_FULL" });
    expect(sequence).toBeGreaterThan(5);
    expect(small.sequence("s")).toBe(sequence);
    expect(small.table("entries").get(`k${sequence}`)).toHaveLength(20_000);
    expect(small.table("entries").get(`k${sequence + 1}`)).toBeUndefined();
    await small.close();
    small = openView({ path, mapSizeBytes: 1024 * 1024 });
    expect(await small.apply("s", [big(sequence + 1)], applyOne)).toEqual({ ok: true });
    await small.close();
  });

  it("answers STORE_FULL when the disk itself refuses, stays whole and readable, and is so after a restart", () => {
    // A limit of file size gives the process the short write of a full disk, without a disk of its own.
    const script = fileURLToPath(new URL("support/fill-view.ts", import.meta.url));
    const { stdout, stderr } = spawnSync(
      "bash",
      ["-c", 'ulimit -f 1024; exec "$0" --import tsx "$1" "$2"', process.execPath, script, join(dir, "full")],
      { encoding: "utf8" },
    );
    const said: unknown = stdout === "" ? stderr : JSON.parse(stdout);
    const stored = expect.toSatisfy((count: number) => count > 5 && count < 1000);
    expect(said).toMatchObject({
      stored,
      refused: { ok: false, code: "STORE_FULL" },
      again: { ok: false, code: "STORE_FULL" },
      readable: true,
    });
    const { stored: count, sequence, afterRestart } = said as Record<string, unknown>;
    expect([sequence, afterRestart]).toEqual([count, { count, sequence: count }]);
  });

  it("keeps several views apart, each with its own file", async () => {
    const other = openView({ path: join(dir, "other") });
    await view.apply("s", [event(1, "a=1")], applyOne);
    await other.apply("s", [event(5, "a=2")], applyOne);
    expect([view.sequence("s"), other.sequence("s")]).toEqual([1, 5]);
    expect([stateOf(view).entries, stateOf(other).entries]).toEqual([{ a: "1" }, { a: "2" }]);
    await other.close();
  });
});
