// Which crops of a visit a presentation gets.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BestCrops, CROP_BOUNDS, type Crop } from "../../edge-agent/best-crops.js";

const crop = (score: number, atMs: number): Crop => ({
  roi: { width: 1, height: 1, pixels: Uint8Array.of(score) },
  score,
  atMs,
});
const { apartMs, collectMs, goodScore, maxKept, maxSent } = CROP_BOUNDS;
const QUICK = { ...CROP_BOUNDS, waitMs: 5 };

describe("the crops of a visit", () => {
  it("are ready at once with a good one, and with any after a while", () => {
    const good = new BestCrops();
    expect(good.isReady(0)).toBe(false);
    good.offer(crop(goodScore, 0));
    expect(good.isReady(0)).toBe(true);
    const poor = new BestCrops();
    poor.offer(crop(goodScore - 1, 0));
    expect(poor.isReady(collectMs - 1)).toBe(false);
    expect(poor.isReady(collectMs)).toBe(true);
  });

  it("come best first, none twice, never two neighbours, and end with the last that may be sent", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({ score: fc.integer({ min: 0, max: 100 }), atMs: fc.integer({ min: 0, max: 600 }) }),
          {
            minLength: 1,
            maxLength: maxKept,
          },
        ),
        async (offered) => {
          const crops = new BestCrops(QUICK);
          for (const { score, atMs } of offered) crops.offer(crop(score, atMs));
          const frames = crops.palm("visit").frames();
          const scores: number[] = [];
          for (let frame = await frames.next(); frame; frame = frame.last ? undefined : await frames.next()) {
            scores.push(frame.image.bytes[0] ?? -1);
          }
          expect(scores.length).toBeLessThanOrEqual(maxSent);
          expect(scores[0]).toBe(Math.max(...offered.map(({ score }) => score)));
          const different = scores.at(-1) === scores[0] ? scores.slice(0, -1) : scores;
          expect(different).toEqual([...different].sort((a, b) => b - a));
        },
      ),
      { numRuns: 30 },
    );
  });

  it("wait for a crop that is far enough from those sent", async () => {
    const crops = new BestCrops({ ...CROP_BOUNDS, waitMs: 60_000 });
    crops.offer(crop(90, 0));
    const frames = crops.palm("visit").frames();
    await frames.next();
    const second = frames.next();
    crops.offer(crop(95, apartMs - 1));
    crops.offer(crop(50, apartMs));
    expect((await second)?.image.bytes[0]).toBe(50);
  });

  it("start from the best again when the presentation starts again", async () => {
    const crops = new BestCrops(QUICK);
    crops.offer(crop(80, 0));
    const palm = crops.palm("visit");
    expect((await palm.frames().next())?.image.bytes[0]).toBe(80);
    expect((await palm.frames().next())?.image.bytes[0]).toBe(80);
  });

  it("end with the first once more when the hand has gone, and with none when there never was one", async () => {
    const crops = new BestCrops(QUICK);
    expect(await crops.palm("nobody").frames().next()).toBeUndefined();
    crops.offer(crop(80, 0));
    const frames = crops.palm("visit").frames();
    expect((await frames.next())?.last).toBe(false);
    expect(await frames.next()).toMatchObject({ last: true, image: { bytes: Uint8Array.of(80) } });
  });

  it("leave no pixel behind: neither when better ones push them out, nor at the end", () => {
    const crops = new BestCrops();
    const all = Array.from({ length: maxKept + 2 }, (_, i) => crop(10 + i, i));
    for (const each of all) crops.offer(each);
    expect(all.map(({ roi }) => roi.pixels[0]).slice(0, 3)).toEqual([0, 0, 12]);
    crops.clear();
    expect(all.every(({ roi }) => roi.pixels[0] === 0)).toBe(true);
  });
});
