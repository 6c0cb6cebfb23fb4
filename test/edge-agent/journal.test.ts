// The journal on a real disk: what a killed process leaves in it, and that it stays small.
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { openJournal } from "../../edge-agent/journal.js";
import { PASSAGE_STEPS, type PassageStore, type StoredPassage } from "../../edge-agent/passage-store.js";
import { UsageError } from "../../wire/config.js";
import { listLog } from "./lane.js";

const FILE = "lane-1.passages";

function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-journal-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  return join(dir, "journal");
}

function open(dir: string, compactAtBytes = 256 * 1024, log = listLog().log): PassageStore {
  const bounds = { compactAtBytes, maxFileBytes: 4 * compactAtBytes };
  return openJournal({ dir, deviceId: "lane-1", log, bounds });
}

const passage = (n: number, step: StoredPassage["step"] = "OPENED"): StoredPassage => ({
  presentation: n.toString(16).padStart(32, "0"),
  token: "ab".repeat(24),
  step,
  atUnixMs: 1_800_000_000_000 + n,
});

describe("the journal of passages", () => {
  it("is its user's alone, and holds ids, tokens, steps and times only", async () => {
    const dir = scratch();
    const journal = open(dir);
    await journal.put(passage(1, "OPENING"));
    await journal.put(passage(1));
    journal.remove(passage(1).presentation);
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    expect(statSync(join(dir, FILE)).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir)).toEqual([FILE]);
    const lines = readFileSync(join(dir, FILE), "utf8").trimEnd().split("\n");
    const allowed = ["presentation", "token", "step", "atUnixMs"];
    for (const line of lines) {
      for (const key of Object.keys(JSON.parse(line))) expect(allowed).toContain(key);
      expect(line.length).toBeLessThan(200);
    }
    await journal.close();
  });

  it("refuses a folder that others may enter, and says what to do", () => {
    const dir = scratch();
    mkdirSync(dir);
    chmodSync(dir, 0o750);
    expect(() => open(dir)).toThrow(UsageError);
    expect(() => open(dir)).toThrow("chmod 700");
  });

  it("leaves to the next process what was put and not removed, each with its newest step", async () => {
    const dir = scratch();
    const journal = open(dir);
    await journal.put(passage(1, "OPENING"));
    await journal.put(passage(2, "EXPIRED"));
    await journal.put(passage(1, "STARTED"));
    await journal.put(passage(3));
    journal.remove(passage(3).presentation);
    // Not awaited: from the call on, it survives a kill.
    void journal.put(passage(4));
    expect(open(dir).left).toEqual([passage(1, "STARTED"), passage(2, "EXPIRED"), passage(4)]);
    await journal.close();
  });

  it("bears a line that a crash has torn, and says how many others it cannot read", async () => {
    const dir = scratch();
    const first = open(dir);
    for (const n of [1, 2]) await first.put(passage(n));
    await first.close();
    const file = join(dir, FILE);
    truncateSync(file, statSync(file).size - 20);
    const { log, lines } = listLog();
    const second = open(dir, undefined, log);
    expect(second.left).toEqual([passage(1)]);
    expect(lines).toEqual([]);
    await second.put(passage(3));
    await second.close();
    appendFileSync(file, '{"presentation":"../../etc","token":"x","step":"OPENED","atUnixMs":1}\n');
    const third = open(dir, undefined, log);
    expect(third.left).toEqual([passage(1), passage(3)]);
    expect(lines).toEqual([{ level: "warn", text: expect.stringContaining('"lines":2') }]);
    await third.close();
  });

  it("keeps what a map would keep, over restarts, kills and compactions, in whatever order things happen", async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("put" as const), n: fc.nat(12), step: fc.constantFrom(...PASSAGE_STEPS) }),
      fc.record({ do: fc.constant("remove" as const), n: fc.nat(12), step: fc.constant("OPENED" as const) }),
      fc.record({ do: fc.constant("reopen" as const), n: fc.nat(1), step: fc.constant("OPENED" as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const dir = mkdtempSync(join(tmpdir(), "palmgate-journal-"));
        const model = new Map<string, StoredPassage>();
        let journal = open(dir, 1024);
        for (const { do: what, n, step: to } of steps) {
          if (what === "put") {
            model.set(passage(n).presentation, passage(n, to));
            expect(await journal.put(passage(n, to))).toEqual({ ok: true });
          } else if (what === "remove") {
            model.delete(passage(n).presentation);
            journal.remove(passage(n).presentation);
          } else {
            if (n === 0) await journal.close();
            journal = open(dir, 1024);
            expect([...journal.left].sort(byId)).toEqual([...model.values()].sort(byId));
          }
        }
        await journal.close();
        rmSync(dir, { recursive: true });
      }),
      { numRuns: 40 },
    );
  });

  it("stays small, however many pass", async () => {
    const dir = scratch();
    const journal = open(dir, 8 * 1024);
    await journal.put(passage(0));
    let largest = 0;
    for (let n = 1; n < 400; n++) {
      await journal.put(passage(n));
      journal.remove(passage(n).presentation);
      largest = Math.max(largest, statSync(join(dir, FILE)).size);
    }
    expect(largest).toBeLessThan(9 * 1024);
    expect(open(dir).left).toEqual([passage(0)]);
    expect(readdirSync(dir)).toEqual([FILE]);
    await journal.close();
  });

  it("takes no more than its bound when nothing of it may go", async () => {
    const dir = scratch();
    const journal = open(dir, 1024);
    const answers = [];
    for (let n = 0; n < 40; n++) answers.push(await journal.put(passage(n)));
    expect(answers).toContainEqual({ ok: false, why: "the journal is full" });
    expect(statSync(join(dir, FILE)).size).toBeLessThanOrEqual(4 * 1024);
    for (let n = 0; n < 40; n++) journal.remove(passage(n).presentation);
    expect(await journal.put(passage(41))).toEqual({ ok: true });
    expect(open(dir).left).toEqual([passage(41)]);
    await journal.close();
  });

  it("answers what a full disk says, loses nothing that it took, and works again once it is empty", () => {
    // A limit of file size gives the process the short write of a full disk, without a disk of its own.
    const script = fileURLToPath(new URL("support/fill-journal.ts", import.meta.url));
    const dir = scratch();
    const { stdout, stderr } = spawnSync(
      "bash",
      ["-c", 'ulimit -f 2; exec "$0" --import tsx "$1" "$2"', process.execPath, script, dir],
      { encoding: "utf8" },
    );
    const said: unknown = stdout === "" ? stderr : JSON.parse(stdout);
    const stored = expect.toSatisfy((count: number) => count > 5 && count < 20);
    const no = { ok: false, why: expect.stringContaining("EFBIG") };
    expect(said).toMatchObject({
      stored,
      refused: no,
      again: no,
      afterwards: { ok: true },
      reopened: [777],
    });
    const { stored: count, left } = said as Record<string, unknown>;
    expect(left).toBe(count);
  });

  it("a file that is no journal is no reason to stop", async () => {
    const dir = scratch();
    mkdirSync(dir, { mode: 0o700 });
    writeFileSync(join(dir, FILE), Buffer.from([0, 1, 2, 255, 10, 10, 254]));
    const journal = open(dir);
    expect(journal.left).toEqual([]);
    await journal.put(passage(1));
    expect(open(dir).left).toEqual([passage(1)]);
    await journal.close();
  });
});

const byId = (a: StoredPassage, b: StoredPassage): number => a.presentation.localeCompare(b.presentation);
