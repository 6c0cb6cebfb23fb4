// The import rules of docs/architecture.md.
import { describe, expect, it } from "vitest";
import { importCircles, importViolations, ROOMS } from "./imports.js";
import { readText, repositoryFiles } from "./tree.js";

const sources = repositoryFiles()
  .filter((path) => path.endsWith(".ts") && ROOMS.includes(path.split("/", 1)[0] ?? ""))
  .map((path) => ({ path, text: readText(path) }));

describe("imports between rooms", () => {
  it("keep the rules", () => {
    expect(sources.length).toBeGreaterThan(20);
    expect(importViolations(sources)).toEqual([]);
  });

  it.each([
    ["a value", 'import { a } from "../matcher/a.js";'],
    ["a type", 'import type { A } from "../matcher/a.js";'],
    ["over several lines", 'import {\n  a,\n  b,\n} from "../matcher/a.js";'],
    ["for its effect", 'import "../matcher/a.js";'],
    ["by export", 'export * from "../matcher/a.js";'],
    ["at run time", 'const a = await import("../matcher/a.js");'],
    ["as a type at its place", 'let a: import("../matcher/a.js").A;'],
    ["by require", 'const a = require("../matcher/a.js");'],
    ["as a thread", 'new Worker(new URL("../matcher/a.js", import.meta.url));'],
    ["as a thread by threadFile", 'new Worker(threadFile("../matcher/a", import.meta.url));'],
    ["by a name computed at run time", "await import(name);"],
    ["by a template", "await import(`../$\u007broom}/a.js`);"],
  ])("are noticed: %s", (_form, text) => {
    expect(importViolations([{ path: "gateway/sample.ts", text }])).not.toEqual([]);
  });

  it.each([
    ["gateway/lane/sample.ts", "../../edge-agent/a.js"],
    ["edge-agent/sample.ts", "../gateway/a.js"],
    ["matcher/sample.ts", "../gateway/a.js"],
    ["records/sample.ts", "../palm/a.js"],
    ["palm/sample.ts", "../wire/a.js"],
    ["wire/sample.ts", "../records/a.js"],
    ["gateway/sample.ts", "../cli/a.js"],
    ["cli/sample.ts", "../test/a.js"],
    ["palm/sample.ts", "../dist/wire/a.js"],
  ])("are refused: %s -> %s", (path, specifier) => {
    expect(importViolations([{ path, text: `import "${specifier}";` }])).toEqual([
      `${path} must not import ${specifier}`,
    ]);
  });

  it.each([
    ["gateway/lane/sample.ts", "../../wire/a.js"],
    ["gateway/lane/sample.ts", "../seams.js"],
    ["matcher/sample.ts", "../records/a.js"],
    ["records/sample.ts", "../wire/a.js"],
    ["cli/stack/sample.ts", "../../gateway/a.js"],
    ["cli/stack/sample.ts", "../../dist/gateway/a.js"],
    ["palm/sample.ts", "onnxruntime-node"],
  ])("are allowed: %s -> %s", (path, specifier) => {
    expect(importViolations([{ path, text: `import "${specifier}";` }])).toEqual([]);
  });
});

describe("imports in a circle", () => {
  it("are nowhere", () => {
    expect(importCircles(sources)).toEqual([]);
  });

  it("are noticed over any number of files, as types too", () => {
    const files = [
      { path: "wire/a.ts", text: 'import { b } from "./b.js";' },
      { path: "wire/b.ts", text: 'export * from "../palm/c.js";' },
      { path: "palm/c.ts", text: 'import type { A } from "../wire/a.js";' },
      { path: "wire/d.ts", text: 'import { a } from "./a.js";' },
    ];
    expect(importCircles(files)).toEqual(["wire/a.ts -> wire/b.ts -> palm/c.ts -> wire/a.ts"]);
  });
});
