import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { run } from "../../bench/accuracy.js";
import { NEAREST } from "../../identify/messages.js";
import { type GreyImage, renderSample, synthesiseIdentity } from "../../palm/index.js";
import { UsageError } from "../../wire/config.js";

const look = (palm: number, seed: number): GreyImage => renderSample(synthesiseIdentity(palm), { seed });

const encoded = ({ width, height, pixels }: GreyImage, format: "png" | "jpeg" = "png"): Promise<Buffer> =>
  sharp(pixels, { raw: { width, height, channels: 1 } })
    .toFormat(format)
    .toBuffer();

/** An 8-bit bitmap with a grey palette. */
function bmp({ width, height, pixels }: GreyImage): Buffer {
  const paletteAt = 54;
  const pixelsAt = paletteAt + 1024;
  const bytes = Buffer.alloc(pixelsAt + width * height);
  bytes.write("BM", "latin1");
  bytes.writeUInt32LE(pixelsAt, 10);
  bytes.writeUInt32LE(40, 14);
  bytes.writeInt32LE(width, 18);
  bytes.writeInt32LE(-height, 22);
  bytes.writeUInt16LE(1, 26);
  bytes.writeUInt16LE(8, 28);
  for (let grey = 0; grey < 256; grey++) bytes.fill(grey, paletteAt + 4 * grey, paletteAt + 4 * grey + 3);
  bytes.set(pixels, pixelsAt);
  return bytes;
}

function folder(files: Record<string, Buffer>): string {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-accuracy-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  for (const [name, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), bytes);
  }
  return dir;
}

/** Each palm with two looks in its first session and two in its second. */
async function palms(count: number): Promise<Record<string, Buffer>> {
  const files: Record<string, Buffer> = {};
  for (let palm = 1; palm <= count; palm++) {
    for (const [i, name] of ["1_a", "1_b", "2_a", "2_b"].entries()) {
      files[`palm-${palm}/${name}.png`] = await encoded(look(palm, i));
    }
  }
  return files;
}

/** What the command prints. */
async function printed(...argv: string[]): Promise<{ out: string; progress: string }> {
  const texts = { out: "", progress: "" };
  const take = (to: keyof typeof texts) => (text: string | Uint8Array) => {
    texts[to] += String(text);
    return true;
  };
  const spies = [
    vi.spyOn(process.stdout, "write").mockImplementation(take("out")),
    vi.spyOn(process.stderr, "write").mockImplementation(take("progress")),
  ];
  try {
    expect(await run(argv)).toBe(0);
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return texts;
}

const refusal = (dir: string) =>
  printed("--data", dir).then(
    () => "nothing was refused",
    (error: unknown) => {
      expect(error).toBeInstanceOf(UsageError);
      return (error as Error).message;
    },
  );

describe("palmgate bench accuracy", () => {
  it("prints one JSON object, the signature first, the baseline after it", async () => {
    const dir = folder(await palms(9));
    const { out, progress } = await printed("--data", dir, "--json", "--baseline", "competitive-code");
    const { results, ...counts } = JSON.parse(out);
    expect(counts).toEqual({ data: dir, palms: 9, matedPairs: 36, nonMatedPairs: 9 * 8 * 4 });
    expect(results.map(({ name, dimension }: never) => [name, dimension])).toEqual([
      ["signature", 256],
      ["competitive-code", 1024],
    ]);
    for (const result of results) {
      // 288 non-mated pairs are too few for a FAR of 1e-2.
      const none = { "1e-2": null, "1e-3": null, "1e-4": null, "1e-5": null, "1e-6": null };
      expect(result).toEqual({
        name: result.name,
        dimension: result.dimension,
        ...(result.name === "signature" && { compared: NEAREST, listed: 1 }),
        eer: expect.closeTo(0, 1),
        tarAtFar: none,
        rank1: expect.closeTo(1, 1),
        rank1Exhaustive: expect.closeTo(1, 1),
        fnirAtFpir: { "3e-3": expect.any(Number) },
        fnirAtFpirExhaustive: { "3e-3": expect.any(Number) },
        ci95: {
          eer: [expect.any(Number), expect.any(Number)],
          tarAtFar: none,
          rank1: [expect.any(Number), expect.any(Number)],
          fnirAtFpir: { "3e-3": [expect.any(Number), expect.any(Number)] },
        },
      });
    }
    expect(progress).toContain("signature: probes 18 of 18");
  });

  it("measures the training-free signature, frames together, and a crowd beside it, and draws the curves", async () => {
    const dir = folder(await palms(4));
    const det = join(dir, "det.svg");
    const more = ["--baseline", "gabor", "--frames", "2", "--among", "3", "--det", det];
    const { out, progress } = await printed("--data", dir, "--json", ...more);
    const { results } = JSON.parse(out);
    expect(results.map(({ name }: never) => name)).toEqual([
      "signature",
      "gabor",
      "signature, 2 frames",
      "signature among 3 more",
    ]);
    expect(results).toMatchObject([
      { listed: 1, rank1Exhaustive: 1 },
      { dimension: 384 },
      { rank1: 1 },
      { listed: 1, rank1: 1, rank1Exhaustive: null },
    ]);
    expect(progress).toContain("synthetic palms enrolled 3 of 3");
    expect(readFileSync(det, "utf8")).toContain("4 palms, 16 mated and 48 non-mated pairs");
  });

  it("refuses more frames together than any palm has", async () => {
    const dir = folder(await palms(2));
    await expect(printed("--data", dir, "--frames", "3")).rejects.toThrow(
      /no palm has 3 probes.*Ask for fewer/,
    );
  });

  it("prints a table with counts and intervals, and what a rate of nil on few palms is worth", async () => {
    const dir = folder(await palms(3));
    const { out } = await printed("--data", dir);
    expect(out).toContain("3 palms, 12 mated and 24 non-mated pairs");
    expect(out).toMatch(/EER +0\.00 % +0\.00 % \.\. 0\.00 %/);
    expect(out).toMatch(/TAR at FAR 1e-2 +null +\(too few pairs\)/);
    expect(out).toContain("up to 63.16 % of all palms");
    expect(out).not.toContain("competitive-code");
  });

  it("takes the first session in natural order as gallery, and reads JPEG and BMP as well", async () => {
    const dir = folder({
      "anna/2_x.jpg": await encoded(look(1, 1), "jpeg"),
      "anna/10_x.bmp": bmp(look(1, 2)),
      "anna/10_y.png": await encoded(look(1, 3)),
      "ben/2_x.bmp": bmp(look(2, 1)),
      "ben/notes.txt": Buffer.from("not an image"),
    });
    const { out } = await printed("--data", dir, "--json");
    // Two templates (2_x of both); two probes, both of Anna; Ben has no second session and is gallery only.
    expect(JSON.parse(out)).toMatchObject({
      palms: 2,
      matedPairs: 2,
      nonMatedPairs: 2,
      results: [{ rank1: 1, eer: 0 }],
    });
  });

  it("finds palms that were mixed up", async () => {
    const files = await palms(4);
    for (const look of ["2_a", "2_b"]) {
      const [one, two] = [files[`palm-1/${look}.png`], files[`palm-2/${look}.png`]];
      if (one && two) Object.assign(files, { [`palm-1/${look}.png`]: two, [`palm-2/${look}.png`]: one });
    }
    const { out } = await printed("--data", folder(files), "--json");
    const [{ rank1, fnirAtFpir }] = JSON.parse(out).results;
    expect(rank1).toBe(0.5);
    // The mixed-up looks are as alike to a stranger as the others to themselves: a threshold that keeps those out keeps
    // out some of these as well.
    expect(fnirAtFpir["3e-3"]).toBeGreaterThanOrEqual(0.5);
  });

  it("says what to do about a folder that it cannot measure", async () => {
    const image = await encoded(look(1, 1));
    const flat = await encoded({ width: 128, height: 128, pixels: new Uint8Array(128 * 128).fill(90) });
    const two = { "a/1_x.png": image, "b/1_x.png": image, "b/2_x.png": image };
    expect(await refusal("/nowhere/at/all")).toContain("Give a folder that can be read");
    expect(await refusal(folder({}))).toContain("holds no palms. Lay it out as <palm>/<session>_");
    expect(await refusal(folder({ "a/1_x.png": image, "a/2_x.png": image }))).toContain("one palm only");
    expect(await refusal(folder({ "a/1_x.png": image, "b/1_x.png": image }))).toContain("second session");
    expect(await refusal(folder({ ...two, "a/x.png": image }))).toContain("such as 1_x.png");
    expect(await refusal(folder({ ...two, "b/2_y.png": Buffer.from("no image") }))).toMatch(
      /2_y\.png.*remove/,
    );
    expect(await refusal(folder({ ...two, "b/2_z.png": flat }))).toMatch(/2_z\.png: all of one grey/);
  });

  it("refuses what it does not know: no folder, another baseline, another model", async () => {
    const dir = folder(await palms(2));
    await expect(printed()).rejects.toThrow(/--data .*is needed/);
    await expect(printed("--data", dir, "--baseline", "eyes")).rejects.toThrow(
      "must be of gabor, competitive-code",
    );
    await expect(printed("--data", dir, "--model", join(dir, "palm-1/1_a.png"))).rejects.toThrow(
      "Give a signature model",
    );
  });

  it("explains itself", async () => {
    const { out } = await printed("--help");
    for (const option of ["--data DIR", "--baseline", "--model", "--frames", "--among", "--det", "--json"])
      expect(out).toContain(option);
  });
});
