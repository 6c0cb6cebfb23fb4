import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import sharp from "sharp";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { run } from "../../bench/roi.js";
import { CONTEXT_SIDE_PX, cornerSquare, levelled, register } from "../../bench/roi-register.js";
import { cutRoi } from "../../palm/hand/index.js";
import { type GreyImage, renderSample, synthesiseIdentity } from "../../palm/index.js";
import { UsageError } from "../../wire/config.js";

const HANDS = fileURLToPath(new URL("../palm/hand/fixtures/palms", import.meta.url));

async function printed(...argv: string[]): Promise<{ out: string; progress: string }> {
  const texts = { out: "", progress: "" };
  const take = (to: keyof typeof texts) => (text: string | Uint8Array) => {
    texts[to] += String(text);
    return true;
  };
  const out = vi.spyOn(process.stdout, "write").mockImplementation(take("out"));
  const progress = vi.spyOn(process.stderr, "write").mockImplementation(take("progress"));
  try {
    expect(await run(argv)).toBe(0);
  } finally {
    out.mockRestore();
    progress.mockRestore();
  }
  return texts;
}

function temporary(): string {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-roi-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  return dir;
}

describe("palmgate bench roi", () => {
  it("measures whole hands: found, steady, cheap, and told apart", { timeout: 60_000 }, async () => {
    const sheet = join(temporary(), "sheet.png");
    const { out, progress } = await printed("--data", HANDS, "--json", "--sheet", sheet);
    expect(out.trimEnd().split("\n")).toHaveLength(1);
    const report = JSON.parse(out);
    expect(report).toMatchObject({ data: HANDS, images: 24, palms: 4, splitPalms: 0 });
    expect(report.foundRate).toBeGreaterThan(0.9);
    expect(report.cornerSpreadPx).toBeGreaterThan(0);
    expect(report.cornerSpreadPx).toBeLessThan(10);
    expect(report.cornerSpread.registered).toBeGreaterThan(0.9 * report.cornerSpread.pairs);
    expect(report.cpuMsTrack).toBeGreaterThan(0);
    expect(report.cpuMsSearch).toBeGreaterThan(report.cpuMsTrack);
    expect(report.truthErrorPx.compared).toBe(Math.round(24 * report.foundRate));
    expect(report.truthErrorPx.spread).toBeLessThan(15);
    const { eer, rank1, tarAtFar, ci95 } = report.endToEnd;
    expect(eer).toBeLessThan(0.1);
    expect(rank1).toBeGreaterThan(0.9);
    expect(tarAtFar["1e-6"]).toBeNull();
    expect(ci95.eer).toHaveLength(2);
    expect(progress).toContain("images looked at 24 of 24");
    expect(await sharp(sheet).metadata()).toMatchObject({ format: "png", width: 796, height: 532 });
  });

  it("counts what it does not find, with the reason, and splits palms of one session", {
    timeout: 60_000,
  }, async () => {
    const dir = temporary();
    for (const [palm, from] of [
      ["a", "left-visible-1"],
      ["b", "right-visible-3"],
    ] as const) {
      mkdirSync(join(dir, palm));
      for (const sample of [1, 2]) {
        await cp(join(HANDS, from, `1_${sample}.jpg`), join(dir, palm, `1_${sample}.jpg`));
      }
      await cp(join(HANDS, from, "2_1.jpg"), join(dir, palm, `${palm === "a" ? 1 : 2}_3.jpg`));
    }
    const grey = sharp({ create: { width: 320, height: 240, channels: 3, background: "#777" } });
    await grey.jpeg().toFile(join(dir, "a", "1_9.jpg"));
    const report = JSON.parse((await printed("--data", dir, "--json")).out);
    expect(report).toMatchObject({ images: 7, splitPalms: 1, notFound: { NO_HAND: 1 } });
    expect(report.foundRate).toBeCloseTo(6 / 7, 9);
    expect(report.truthErrorPx).toBeUndefined();
    const table = (await printed("--data", dir)).out;
    expect(table).toContain("not: 1 NO_HAND");
    expect(table).toContain("1 of one session only");
  });

  it("says what is wrong with a folder", async () => {
    await expect(run([])).rejects.toThrow(/--data.*is needed/);
    const dir = temporary();
    const grey = await sharp({ create: { width: 320, height: 240, channels: 3, background: "#777" } })
      .png()
      .toBuffer();
    for (const file of ["a/1_1.png", "a/2_1.png", "b/1_1.png", "b/2_1.png"]) {
      mkdirSync(dirname(join(dir, file)), { recursive: true });
      writeFileSync(join(dir, file), grey);
    }
    await expect(printed("--data", dir)).rejects.toThrow(/too few hands were found/);
    writeFileSync(join(dir, "truth.json"), '{"a/1_1.png": {"corners": [[1, 2]]}}');
    await expect(printed("--data", dir)).rejects.toThrow(UsageError);
    writeFileSync(join(dir, "truth.json"), "{}");
    writeFileSync(join(dir, "a", "2_1.png"), grey.subarray(0, 60));
    await expect(printed("--data", dir)).rejects.toThrow(/2_1\.png/);
    expect((await printed("--help")).out).toContain("palmgate bench roi --data DIR");
  });

  it("has truth for every committed hand", async () => {
    const truth = JSON.parse(await readFile(join(HANDS, "truth.json"), "utf8"));
    expect(Object.keys(truth)).toHaveLength(24);
  });
});

describe("registering two crops of one palm", () => {
  const palm = { ...renderSample(synthesiseIdentity(3), { seed: 1 }), channels: 1 as const };
  /** The palm seen through a window that is turned, scaled and moved, in pixels of the palm's image. */
  const seen = (turn: number, scale: number, dx: number, dy: number, of = palm): GreyImage => {
    const at = (x: number, y: number) => ({
      x: 64 + dx + scale * (Math.cos(turn) * x - Math.sin(turn) * y),
      y: 64 + dy + scale * (Math.sin(turn) * x + Math.cos(turn) * y),
    });
    const half = 54;
    return cutRoi(of, [at(-half, -half), at(half, -half), at(half, half), at(-half, half)], CONTEXT_SIDE_PX);
  };
  /** Crop pixels in one of the palm's. */
  const perPx = CONTEXT_SIDE_PX / 108;
  const finite = (most: number) => fc.double({ min: -most, max: most, noNaN: true });

  it("finds how far one was cut from the other", () => {
    const one = levelled(seen(0, 1, 0, 0));
    fc.assert(
      fc.property(finite(0.1), finite(0.08), finite(7), finite(7), (turn, grow, dx, dy) => {
        const scale = 1 + grow;
        const found = register(one, levelled(seen(turn, scale, dx, dy)));
        // A corner of the first lies in the second where the inverse of the window's move brings it.
        const [cos, sin] = [Math.cos(turn) / scale, -Math.sin(turn) / scale];
        const middle = CONTEXT_SIDE_PX / 2;
        const [mx, my] = [middle + dx * perPx, middle + dy * perPx];
        const expected = {
          cos,
          sin,
          dx: middle - cos * mx + sin * my,
          dy: middle - sin * mx - cos * my,
        };
        expect(found).toBeDefined();
        const way = Math.sqrt(cornerSquare(found ?? expected));
        expect(Math.abs(way - Math.sqrt(cornerSquare(expected)))).toBeLessThan(0.8);
      }),
      { numRuns: 20 },
    );
  });

  it("finds nothing between two palms", () => {
    const other = { ...renderSample(synthesiseIdentity(4), { seed: 1 }), channels: 1 as const };
    expect(register(levelled(seen(0, 1, 0, 0)), levelled(seen(0, 1, 0, 0, other)))).toBeUndefined();
  });
});
