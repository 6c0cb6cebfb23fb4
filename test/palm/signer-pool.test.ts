// Real threads, from dist/ (`npm run build`). A thread is made to die by a network that fails at run time.
import { copyFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, it, onTestFinished } from "vitest";
import {
  openSignatureModel,
  PROBE_CODE_WORDS,
  PROBE_LINES_WORDS,
  type Signature,
  SignerPool,
  type SignerPoolOptions,
  type SignJob,
} from "../../palm/index.js";
import { failingModel } from "./onnx-file.js";
import { drawn, MODEL, palm, temporaryFolder } from "./support.js";

async function opened(options: Partial<SignerPoolOptions> = {}): Promise<SignerPool> {
  const pool = await SignerPool.open({ modelPath: MODEL, threads: 1, maxQueued: 16, ...options });
  onTestFinished(() => pool.close());
  return pool;
}

const jobOf = ({ width, height, pixels } = palm(1)): SignJob => ({
  encoding: "GRAY8",
  width,
  height,
  pixels: Uint8Array.from(pixels).buffer,
});

const bytesOf = (buffer: Buffer) => Uint8Array.from(buffer).buffer;
const textAs = (encoding: "JPEG" | "PNG"): SignJob => ({
  encoding,
  width: 128,
  height: 128,
  pixels: bytesOf(Buffer.from("not a picture")),
});

/** A folder with a model that answers black images only, and dies of every other. */
async function deadlyModel(): Promise<string> {
  const path = join(await temporaryFolder(), "model.onnx");
  const metadata = { model_id: "deadly", dimension: "4", input_size: "128" };
  await writeFile(path, failingModel({ metadata, side: 128, dimension: 4 }));
  return path;
}

/** Puts the real model where the deadly one was, in one step. */
async function heal(path: string): Promise<void> {
  await copyFile(MODEL, `${path}.new`);
  await rename(`${path}.new`, path);
}

describe("a pool of signer threads", () => {
  it("answers with the signature that the model gives, from every encoding", async () => {
    const pool = await opened({ threads: 2 });
    const model = await openSignatureModel(MODEL);
    const image = palm(1);
    const wanted = await model.sign(image);
    const lengths = [model.dimension, PROBE_LINES_WORDS, PROBE_CODE_WORDS];
    expect([wanted?.vector.length, wanted?.lines.length, wanted?.codes.length]).toEqual(lengths);
    await model.close();
    const { width, height } = image;
    const png = await sharp(image.pixels, { raw: { width, height, channels: 1 } })
      .png()
      .toBuffer();
    const jobs: SignJob[] = [jobOf(image), { encoding: "PNG", width, height, pixels: bytesOf(png) }];
    for (const result of await Promise.all(jobs.map((job) => pool.sign(job)))) {
      if (!result.ok) throw new Error(result.detail);
      expect(result.signature).toEqual(wanted);
      expect(result.quality.reason).toBe("OK");
      expect(result.signMs).toBeGreaterThan(0);
      expect(result.queueMs).toBeGreaterThanOrEqual(0);
    }
  });

  it("gives each caller the answer to its own image, whatever the number of threads", async () => {
    const pool = await opened({ threads: 2, maxQueued: 40 });
    const [first, again] = [await signAll(pool), await signAll(pool)];
    expect(again).toEqual(first);
    expect(new Set(first).size).toBe(first.length);
  });

  it("says why a poor image was not signed, and signs nothing of it", async () => {
    const pool = await opened();
    for (const grey of [3, 2]) {
      expect(await pool.sign(jobOf(drawn(128, 128, () => grey)))).toMatchObject({
        ok: true,
        signature: { vector: new Float32Array(0), lines: new Uint32Array(0), codes: new Uint32Array(0) },
        quality: { score: 0, reason: "TOO_DARK" },
      });
    }
  });

  it("takes the pixels from the caller at once", async () => {
    const pool = await opened();
    const job = jobOf();
    const answer = pool.sign(job);
    expect(job.pixels.byteLength).toBe(0);
    expect(await answer).toMatchObject({ ok: true });
  });

  it("refuses what is no image, and goes on with the same threads", async () => {
    const pool = await opened();
    for (const encoding of ["JPEG", "PNG"] as const) {
      expect(await pool.sign(textAs(encoding))).toMatchObject({ ok: false, code: "BAD_IMAGE" });
    }
    expect(await pool.sign({ ...jobOf(), width: 4096 })).toMatchObject({ ok: false, code: "TOO_LARGE" });
    expect(pool.stats()).toEqual({ queued: 0, busy: 0, threads: 1 });
    expect(await pool.sign(jobOf())).toMatchObject({ ok: true });
  });

  it("answers for pixels that are gone already, and goes on", async () => {
    const pool = await opened();
    const job = jobOf();
    const answers = await Promise.all([pool.sign(job), pool.sign(job), pool.sign(job)]);
    expect(answers).toMatchObject([
      { ok: true },
      { ok: false, code: "BAD_IMAGE" },
      { ok: false, code: "BAD_IMAGE" },
    ]);
    expect(await pool.sign(job)).toMatchObject({ ok: false, code: "BAD_IMAGE" });
    expect(await pool.sign(jobOf())).toMatchObject({ ok: true });
  });
});

describe("the bound of the queue", () => {
  it("refuses at once what comes beyond it, zeroes those pixels, and answers all the others", async () => {
    const pool = await opened({ maxQueued: 2 });
    const jobs = Array.from({ length: 5 }, () => jobOf());
    const answers = jobs.map((job) => pool.sign(job));
    expect(pool.stats()).toEqual({ queued: 2, busy: 1, threads: 1 });
    const results = await Promise.all(answers);
    expect(results.map((result) => (result.ok ? "signed" : result.code))).toEqual([
      "signed",
      "signed",
      "signed",
      "POOL_FULL",
      "POOL_FULL",
    ]);
    for (const job of jobs.slice(3)) {
      const left = new Uint8Array(job.pixels);
      expect(left).toHaveLength(128 * 128);
      expect(left.every((value) => value === 0)).toBe(true);
    }
    expect(pool.stats()).toEqual({ queued: 0, busy: 0, threads: 1 });
  });
});

describe("closing", () => {
  it("finishes what was taken, refuses the rest with zeroed pixels, and leaves no thread", async () => {
    const pool = await opened();
    const taken = [pool.sign(jobOf()), pool.sign(jobOf()), pool.sign(jobOf())];
    const closed = pool.close();
    const late = jobOf();
    expect(await pool.sign(late)).toMatchObject({ ok: false, code: "POOL_CLOSED" });
    expect(new Uint8Array(late.pixels).every((value) => value === 0)).toBe(true);
    expect((await Promise.all(taken)).every(({ ok }) => ok)).toBe(true);
    await closed;
    expect(pool.stats()).toEqual({ queued: 0, busy: 0, threads: 0 });
  });

  it("may be asked for twice, while busy", async () => {
    const pool = await opened();
    const answer = pool.sign(jobOf());
    await Promise.all([pool.close(), pool.close()]);
    expect(await answer).toMatchObject({ ok: true });
  });
});

describe("a thread that dies", () => {
  it("answers its job with SIGNER_FAILED and is replaced; what waited is signed by the new one", async () => {
    const modelPath = await deadlyModel();
    const pool = await opened({ modelPath });
    await heal(modelPath);
    const fatal = pool.sign(jobOf());
    const waiting = pool.sign(jobOf());
    expect(await fatal).toMatchObject({
      ok: false,
      code: "SIGNER_FAILED",
      detail: expect.stringMatching(/out of data bounds/),
    });
    const result = await waiting;
    expect(result).toMatchObject({ ok: true, quality: { reason: "OK" } });
    expect(result.ok && result.signature.vector).toHaveLength(256);
    expect(pool.stats()).toEqual({ queued: 0, busy: 0, threads: 1 });
  });

  it("takes only its own job along: other threads sign on", async () => {
    const modelPath = await deadlyModel();
    const pool = await opened({ modelPath, threads: 2, maxQueued: 0 });
    const [fatal, harmless] = [pool.sign(jobOf()), pool.sign(textAs("PNG"))];
    expect(await fatal).toMatchObject({ code: "SIGNER_FAILED" });
    expect(await harmless).toMatchObject({ code: "BAD_IMAGE" });
    expect(await pool.sign(textAs("PNG"))).toMatchObject({ code: "BAD_IMAGE" });
  });

  it("while the pool closes, leaves nobody without an answer", async () => {
    const pool = await opened({ modelPath: await deadlyModel() });
    const answers = [pool.sign(jobOf()), pool.sign(jobOf())];
    await pool.close();
    expect(await Promise.all(answers)).toMatchObject([{ code: "SIGNER_FAILED" }, { code: "POOL_CLOSED" }]);
    expect(pool.stats().threads).toBe(0);
  });

  it("and whose replacement is due does not outlive a close", async () => {
    const pool = await opened({ modelPath: await deadlyModel() });
    expect(await pool.sign(jobOf())).toMatchObject({ code: "SIGNER_FAILED" });
    const waiting = pool.sign(jobOf());
    await pool.close();
    expect(await waiting).toMatchObject({ code: "POOL_CLOSED" });
    expect(pool.stats()).toEqual({ queued: 0, busy: 0, threads: 0 });
  });
});

describe("opening", () => {
  it("fails with the reason when the model cannot be loaded", async () => {
    const modelPath = join(await temporaryFolder(), "absent.onnx");
    await expect(SignerPool.open({ modelPath, threads: 2, maxQueued: 1 })).rejects.toThrow(/absent\.onnx/);
  });
});

const partsOf = ({ vector, lines, codes }: Signature) => [...vector, ...lines, ...codes];

async function signAll(pool: SignerPool): Promise<string[]> {
  const results = await Promise.all(Array.from({ length: 12 }, (_, i) => pool.sign(jobOf(palm(i)))));
  return results.map((result) => (result.ok ? partsOf(result.signature).join() : result.code));
}
