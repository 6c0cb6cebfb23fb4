// The palm detector's answers made into palms: with a network of our own making where a law is to be seen, with the
// real one on rendered hands.
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DETECTOR_SIDE_PX, detectPalms } from "../../../palm/hand/detector.js";
import type { HandImage, HandNetworks, Network, Point } from "../../../palm/hand/index.js";
import { openNodeHandNetworks } from "../../../palm/hand/node-networks.js";
import { openShells } from "../../../palm/synthetic/hand/node-shells.js";
import { renderHand } from "../../../palm/synthetic/hand/render.js";
import { imageOfSkin } from "../../../palm/synthetic/hand/shell.js";
import { synthesiseIdentity } from "../../../palm/synthetic/identity.js";

const UPRIGHT = { turnRad: 0, scale: 1 };
const LIMITS = { minScore: 0.5, maxPalms: 2 };
/** Anchors of the finer and of the coarser grid. */
const ANCHORS = 2 * (DETECTOR_SIDE_PX / 8) ** 2 + 6 * (DETECTOR_SIDE_PX / 16) ** 2;
const VALUES = 18;
const IMAGE: HandImage = { width: 320, height: 240, channels: 1, pixels: new Uint8Array(320 * 240).fill(90) };

/** Says what it is told, and keeps the input to look at afterwards. */
class Told implements Network {
  seen: Float32Array | undefined;
  constructor(readonly outputs: Record<string, Float32Array>) {}
  async run(input: Float32Array) {
    this.seen = input;
    return this.outputs;
  }
  async close() {}
}

/** @param at logit and box (width, height) by anchor */
function told(at: Record<number, { logit: number; sidePx: number }>): Told {
  const scores = new Float32Array(ANCHORS).fill(-100);
  const boxes = new Float32Array(ANCHORS * VALUES);
  for (const [anchor, { logit, sidePx }] of Object.entries(at)) {
    scores[Number(anchor)] = logit;
    boxes.fill(sidePx, Number(anchor) * VALUES + 2, Number(anchor) * VALUES + 4);
  }
  return new Told({ scores, boxes });
}

const detect = (network: Network) => detectPalms(network, IMAGE, UPRIGHT, LIMITS);

describe("what is made of the detector's answers", () => {
  it("is the palm where its anchor lies, in pixels of the image", async () => {
    // Twice as wide as the network's input, black bands above and below; the first anchor is in the upper left corner.
    const [palm] = await detect(told({ 0: { logit: 5, sidePx: 30 } }));
    expect(palm).toMatchObject({ centre: { x: 8, y: 8 - 40 }, sidePx: 60 });
    expect(palm?.score).toBeCloseTo(1 / (1 + Math.exp(-5)), 6);
    expect(palm?.points).toHaveLength(7);
  });

  it("is one palm from boxes that overlap, and two from boxes that do not, the clearest first", async () => {
    const near = await detect(
      told({ 0: { logit: 2, sidePx: 30 }, 1: { logit: 4, sidePx: 30 }, 2: { logit: 3, sidePx: 30 } }),
    );
    expect(near).toHaveLength(1);
    expect(near[0]?.score).toBeCloseTo(1 / (1 + Math.exp(-4)), 6);
    const far = await detect(told({ 0: { logit: 2, sidePx: 20 }, 700: { logit: 4, sidePx: 20 } }));
    expect(far.map(({ score }) => score > 0.95)).toEqual([true, false]);
  });

  it("is nothing from unclear answers, and from answers that are no numbers", async () => {
    expect(await detect(told({ 0: { logit: -0.1, sidePx: 30 } }))).toEqual([]);
    expect(await detect(told({ 0: { logit: Number.NaN, sidePx: 30 } }))).toEqual([]);
    expect(await detect(told({ 0: { logit: 9, sidePx: Number.NaN } }))).toEqual([]);
  });

  it("is never more than was asked for, and finite, whatever the network says", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.tuple(
            fc.integer({ min: 0, max: ANCHORS - 1 }),
            fc.record({ logit: fc.float(), sidePx: fc.float() }),
          ),
          { maxLength: 40 },
        ),
        async (answers) => {
          const palms = await detect(told(Object.fromEntries(answers)));
          expect(palms.length).toBeLessThanOrEqual(LIMITS.maxPalms);
          for (const { score, centre } of palms) {
            expect(score).toBeGreaterThanOrEqual(LIMITS.minScore);
            expect(Number.isFinite(centre.x + centre.y)).toBe(true);
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  it("leaves nothing of the image in the network's input, also when the network fails", async () => {
    const network = told({});
    await detect(network);
    expect(network.seen?.every((value) => value === 0)).toBe(true);
    const wrong = new Told({ scores: new Float32Array(3), boxes: new Float32Array(54) });
    await expect(detect(wrong)).rejects.toThrow(/must answer scores of/);
    expect(wrong.seen?.every((value) => value === 0)).toBe(true);
  });
});

describe("the real detector", () => {
  let networks: HandNetworks;
  beforeAll(async () => {
    networks = await openNodeHandNetworks();
  }, 60_000);
  afterAll(async () => {
    await networks.palmDetection.close();
    await networks.handLandmarks.close();
  });

  it.each([
    ["upright", UPRIGHT],
    ["turned, with room around", { turnRad: Math.PI / 2, scale: 1.25 }],
    ["turned the other way", { turnRad: -Math.PI / 2, scale: 1 }],
  ])("sees the palm where it is, shown %s", async (_, view) => {
    const [shell] = await openShells(({ name }) => name === "right-visible-1");
    if (!shell?.grid) return expect.unreachable("the shell has a hand");
    const { image } = renderHand(synthesiseIdentity(5), shell, { seed: 1 });
    const middle = imageOfSkin(shell.grid, { x: 0.5, y: 0.5 }) as Point;
    const [palm, second] = await detectPalms(networks.palmDetection, image, view, LIMITS);
    if (!palm) return expect.unreachable("the detector sees the palm");
    expect(second).toBeUndefined();
    expect(Math.hypot(palm.centre.x - middle.x, palm.centre.y - middle.y)).toBeLessThan(palm.sidePx / 4);
  });
});
