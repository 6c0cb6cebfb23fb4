// House rules that no linter knows.
import { describe, expect, it } from "vitest";
import { ROOMS } from "./imports.js";
import { readText, repositoryFiles } from "./tree.js";

const MAX_LINES = 400;
const TEXT = /\.(ts|mjs|js|py|md|ya?ml|json|proto|html|css|sh|conf|toml)$|(^|\/)[^.]+$/;
/** Written by tools or by others, or one long list by nature. */
const MAY_BE_LONG = /\.json$|^LICENSE$/;

const files = repositoryFiles();
const texts = files.filter((path) => TEXT.test(path)).map((path) => ({ path, text: readText(path) }));

// Put together here, so that this file does not name them itself.
const machinePaths = ["work", "root", "home/[a-z]", "Users/[A-Za-z]"].map((folder) => `/${folder}`).join("|");
const MACHINE_PATH = new RegExp(`(?<![\\w.$}*~-])(?:${machinePaths})[\\w.-]*/`);

describe("the repository", () => {
  it("names no path of a developer's machine", () => {
    expect(texts.filter(({ text }) => MACHINE_PATH.test(text)).map(({ path }) => path)).toEqual([]);
  });

  it.each([
    ["in a text", `see ${"/wo"}${"rk/"}main`, true],
    ["in quotes", `"${"/ro"}${"ot/"}x"`, true],
    ["a home folder", `cd ${"/ho"}${"me/"}ada/x`, true],
    ["part of a longer path", "net/work/a and ../root/a and https://example.org/work", false],
  ])("would notice such a path: %s", (_where, text, isPath) => {
    expect(MACHINE_PATH.test(text)).toBe(isPath);
  });

  it(`has no file of more than ${MAX_LINES} lines`, () => {
    const long = texts
      .filter(({ path }) => !MAY_BE_LONG.test(path))
      .map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 }))
      .filter(({ lines }) => lines > MAX_LINES);
    expect(long).toEqual([]);
  });

  it("has the rooms that docs/architecture.md lists, and no others", () => {
    const listed = [...readText("docs/architecture.md").matchAll(/^\| `([a-z-]+)\/` \|/gm)].map(
      ([, room]) => room,
    );
    const withSources = new Set(
      files.filter((path) => /^[a-z-]+\/.*\.ts$/.test(path)).map((path) => path.split("/", 1)[0]),
    );
    withSources.delete("test");
    expect([...withSources].sort()).toEqual([...listed].sort());
    expect([...ROOMS].sort()).toEqual([...listed].sort());
  });

  it("has no picture but synthetic hands, made by model/hands, and those of the documentation", () => {
    const synthetic = /^(palm\/synthetic\/hand\/shells|test\/palm\/hand\/fixtures)\//;
    const pictures = files.filter((path) => /\.(jpe?g|png|bmp|tiff?)$/i.test(path));
    const others = pictures.filter((path) => !synthetic.test(path));
    expect(others.filter((path) => !/^docs\/.*\.png$/i.test(path))).toEqual([]);
  });
});
