// A worker's folder: made for its owner alone, of this layout or refused, without what threads that are no more had left.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { openDataFolder, threadFolder } from "../../matcher/data-folder.js";
import { UsageError } from "../../wire/config.js";
import { LAYOUT } from "../../wire/directory.js";
import { openLog } from "../../wire/log.js";

const log = openLog("test");

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-folder-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, "data");
}

describe("a worker's folder", () => {
  it("is made for its owner alone, says its layout, and is taken again", () => {
    const dir = folder();
    openDataFolder(dir, 2, log);
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    const note = join(dir, "layout.json");
    expect(statSync(note).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(note, "utf8"))).toEqual({ layout: LAYOUT });
    openDataFolder(dir, 2, log);
  });

  it.each([
    ["a later layout", '{"layout": 3}', /is of layout 3, and this version knows layout 2/],
    ["an unreadable note", "nonsense", /is of layout unknown/],
  ])("with %s is refused, and left as it is", (_, text, message) => {
    const dir = folder();
    openDataFolder(dir, 1, log);
    writeFileSync(join(dir, "layout.json"), text);
    expect(() => openDataFolder(dir, 1, log)).toThrow(UsageError);
    expect(() => openDataFolder(dir, 1, log)).toThrow(message);
    expect(readFileSync(join(dir, "layout.json"), "utf8")).toBe(text);
  });

  it("of the first layout, which had no note, is refused", () => {
    const dir = folder();
    mkdirSync(join(dir, "members", "0"), { recursive: true });
    expect(() => openDataFolder(dir, 1, log)).toThrow(/is of layout 1/);
    expect(existsSync(join(dir, "members", "0"))).toBe(true);
  });

  it("loses what threads that are no more had left, and nothing else", () => {
    const dir = folder();
    openDataFolder(dir, 4, log);
    for (const thread of [0, 1, 2, 3, 12]) mkdirSync(join(dir, threadFolder(thread)));
    writeFileSync(join(dir, ".worker-id"), "w\n");
    openDataFolder(dir, 2, log);
    expect([0, 1, 2, 3, 12].map((thread) => existsSync(join(dir, threadFolder(thread))))).toEqual([
      ...[true, true, false, false, false],
    ]);
    expect(existsSync(join(dir, ".worker-id"))).toBe(true);
  });
});
