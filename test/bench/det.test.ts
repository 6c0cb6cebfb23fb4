import { describe, expect, it } from "vitest";
import { detPoints, detSvg } from "../../bench/det.js";
import { seeded } from "../../bench/seeded.js";

/** Two templates of each of `palms`, and a probe: mated similarities about 0.6, non-mated about 0. */
function table(palms: number) {
  const random = seeded(7);
  const probePalms = Array.from({ length: palms }, (_, palm) => palm);
  const galleryPalms = [...probePalms, ...probePalms];
  const similarities = Float32Array.from({ length: palms * galleryPalms.length }, (_, at) => {
    const isMated = Math.floor(at / galleryPalms.length) === (at % galleryPalms.length) % palms;
    return (isMated ? 0.6 : 0) + random() - 0.5;
  });
  return { palms, probePalms, galleryPalms, similarities };
}

describe("the points of a DET curve", () => {
  it("are counted: the rates at each point are those of one threshold", () => {
    const { probePalms, galleryPalms, similarities, palms } = table(40);
    const rates = [...similarities].map((threshold) => {
      let [mated, nonMated] = [0, 0];
      for (const [at, similarity] of similarities.entries()) {
        const isMated =
          probePalms[Math.floor(at / galleryPalms.length)] === galleryPalms[at % galleryPalms.length];
        if (isMated && similarity <= threshold) mated++;
        if (!isMated && similarity > threshold) nonMated++;
      }
      return `${nonMated / (40 * 78)} ${mated / 80}`;
    });
    const points = detPoints({ palms, probePalms, galleryPalms, similarities });
    expect(points.length).toBeGreaterThan(5);
    for (const { fmr, fnmr } of points) expect(rates).toContain(`${fmr} ${fnmr}`);
  });

  it("fall, and end at three non-mated comparisons", () => {
    const points = detPoints(table(40));
    for (const [i, { fmr, fnmr }] of points.entries()) {
      const before = points[i - 1];
      if (!before) continue;
      expect(fmr).toBeLessThanOrEqual(before.fmr);
      expect(fnmr).toBeGreaterThanOrEqual(before.fnmr);
    }
    expect(points.at(-1)?.fmr).toBeCloseTo(3 / (40 * 78), 6);
  });

  it("are none where no mated pair is missed", () => {
    const perfect = table(10);
    for (const at of perfect.similarities.keys()) {
      const isMated = Math.floor(at / 20) === (at % 20) % 10;
      perfect.similarities[at] = isMated ? 1 : at / 1000;
    }
    expect(detPoints(perfect)).toEqual([]);
  });
});

describe("the DET plot", () => {
  it("names each curve, says so where there is none, and lets no name break it", () => {
    const points = detPoints(table(40));
    const svg = detSvg("a < b", "40 palms", [
      { name: "signature & more", points },
      { name: "code", points: [] },
    ]);
    expect(svg).toContain("<title>a &lt; b</title>");
    expect(svg).toContain("signature &amp; more");
    expect(svg).toContain("code: none missed");
    expect(svg).not.toMatch(/NaN|undefined|<script/);
    expect(svg.match(/stroke-width="2"/g)).toHaveLength(1);
  });
});
