// Made-up hands: the same for the same seed, true about where the palm's skin lies, and hands to the real networks.
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HandFinder, type HandNetworks, type Point } from "../../../palm/hand/index.js";
import { openNodeHandNetworks } from "../../../palm/hand/node-networks.js";
import { openShells } from "../../../palm/synthetic/hand/node-shells.js";
import { renderHand } from "../../../palm/synthetic/hand/render.js";
import { type HandShell, imageOfSkin, parseGrid } from "../../../palm/synthetic/hand/shell.js";
import { type PalmIdentity, synthesiseIdentity } from "../../../palm/synthetic/identity.js";
import { largestStray, onSkin } from "./hands.js";

const IDENTITY = synthesiseIdentity(11);
/** A still is searched and followed, as palm/hand/sight.ts does. */
const MAX_FINDS = 6;
/** How far a crop's corners may stray from their mean over all poses, share of the skin square (standard deviation). */
const MAX_STRAY = 0.08;

let shells: readonly HandShell[];
let networks: HandNetworks;
beforeAll(async () => {
  shells = await openShells();
  networks = await openNodeHandNetworks();
}, 60_000);
afterAll(async () => {
  await networks.palmDetection.close();
  await networks.handLandmarks.close();
});

const open = () => shells.filter(({ kind }) => kind === "PALM");
const ofName = (name: string): HandShell => {
  const shell = shells.find((each) => each.name === name);
  if (!shell) throw new Error(`no shell ${name}`);
  return shell;
};

describe("renderHand", () => {
  it("gives the same picture for the same seed, another for another", () => {
    const shell = ofName("left-visible-1");
    const digest = (seed: number) =>
      createHash("sha256")
        .update(renderHand(IDENTITY, shell, { seed }).image.pixels)
        .digest("hex");
    expect(digest(5)).toBe(digest(5));
    expect(digest(6)).not.toBe(digest(5));
  });

  it("leaves the shell as it was", () => {
    const shell = ofName("right-nir-1");
    const before = Uint8Array.from(shell.image.pixels);
    renderHand(IDENTITY, shell, { seed: 1, blur: 1 });
    expect(Buffer.compare(shell.image.pixels, before)).toBe(0);
  });

  it("darkens only the palm", () => {
    const shell = ofName("left-visible-1");
    const { image } = renderHand(IDENTITY, shell, { seed: 1, light: 1, noise: 0 });
    const { grid } = shell;
    if (!grid) throw new Error("a hand has a grid");
    const known = [...grid.x].flatMap((x, i) => (Number.isNaN(x) ? [] : [{ x, y: grid.y[i] as number }]));
    const [left, right] = [Math.min(...known.map((p) => p.x)), Math.max(...known.map((p) => p.x))];
    const [top, bottom] = [Math.min(...known.map((p) => p.y)), Math.max(...known.map((p) => p.y))];
    let changed = 0;
    for (let i = 0; i < image.pixels.length; i++) {
      if (image.pixels[i] === shell.image.pixels[i]) continue;
      changed++;
      const pixel = Math.floor(i / image.channels);
      const [x, y] = [pixel % image.width, Math.floor(pixel / image.width)];
      expect(x > left - 2 && x < right + 2 && y > top - 2 && y < bottom + 2).toBe(true);
    }
    expect(changed).toBeGreaterThan(5000);
  });

  it("puts a mark on the skin where the map of the skin says, on every shell and either side", () => {
    for (const shell of open()) {
      for (const mark of [
        { x: 0.3, y: 0.3 },
        { x: 0.62, y: 0.55 },
      ]) {
        const { grid } = shell;
        const expected = grid && imageOfSkin(grid, mark);
        if (!expected) throw new Error("the mark is on the palm");
        expect(awayFrom(darkestMiddle(shell, mark), expected), shell.name).toBeLessThan(1);
      }
    }
  });
});

/** Where a dot on otherwise bare skin is seen: the centre of what got darker. */
function darkestMiddle(shell: HandShell, mark: Point): Point {
  // Identities are right palms; a left hand shows them mirrored.
  const { x, y } = shell.side === "LEFT" ? { x: 1 - mark.x, y: mark.y } : mark;
  const dot = { x, y };
  const bare = { seed: 1, mounds: [], skin: 145 };
  const marked: PalmIdentity = {
    ...bare,
    creases: [{ points: [dot, dot, dot, dot], width: 0.05, depth: 0.9 }],
  };
  const plain = renderHand({ ...bare, creases: [] }, shell, { seed: 1, light: 1, noise: 0 }).image;
  const seen = renderHand(marked, shell, { seed: 1, light: 1, noise: 0 }).image;
  let [sum, sumX, sumY] = [0, 0, 0];
  for (let pixel = 0; pixel < plain.width * plain.height; pixel++) {
    const at = pixel * plain.channels;
    const before = plain.pixels[at] as number;
    if (before === 0) continue;
    const darker = 1 - (seen.pixels[at] as number) / before;
    sum += darker;
    sumX += darker * ((pixel % plain.width) + 0.5);
    sumY += darker * (Math.floor(pixel / plain.width) + 0.5);
  }
  return { x: sumX / sum, y: sumY / sum };
}

const awayFrom = (a: Point, b: Point) => Math.hypot(a.x - b.x, a.y - b.y);

describe("parseGrid", () => {
  it("refuses a file of another length", () => {
    expect(() => parseGrid(new Uint8Array(100))).toThrow(/5445 bytes/);
  });
});

describe("the real networks", () => {
  it("find open palms on their right side, and cut the same skin in every pose", async () => {
    const crops: Record<"LEFT" | "RIGHT", number[][]> = { LEFT: [], RIGHT: [] };
    for (const shell of open()) {
      const hand = renderHand(IDENTITY, shell, { seed: 3 });
      const found = await findStill(hand.image);
      if (!found.ok || !hand.corners) continue;
      expect(found.hand.side, shell.name).toBe(shell.side);
      crops[shell.side].push(onSkin(found.hand.corners, hand.corners));
    }
    // All but one: the finder's own tests say what it must find; here it is the hands that are tested.
    expect(crops.LEFT.length + crops.RIGHT.length).toBeGreaterThanOrEqual(open().length - 1);
    for (const side of Object.values(crops)) expect(largestStray(side)).toBeLessThan(MAX_STRAY);
  }, 120_000);

  it.each([
    ["back-left", ["BACK_OF_HAND"]],
    ["back-right-nir", ["BACK_OF_HAND"]],
    ["fist", ["HAND_CLOSED", "NO_HAND"]],
    ["two-hands", ["TWO_HANDS"]],
    ["outside", ["PARTLY_OUTSIDE", "NO_HAND"]],
    ["empty", ["NO_HAND"]],
    ["empty-nir", ["NO_HAND"]],
  ])(
    "see no palm in %s",
    async (name, reasons) => {
      const found = await findStill(renderHand(IDENTITY, ofName(name), { seed: 3 }).image);
      expect(found.ok).toBe(false);
      if (!found.ok) expect(reasons).toContain(found.reason);
    },
    60_000,
  );
});

async function findStill(image: HandShell["image"]) {
  const finder = new HandFinder(networks);
  let found = await finder.find(image);
  for (let finds = 1; finds < MAX_FINDS && !(found.ok && found.hand.path === "TRACKED"); finds++) {
    found = await finder.find(image);
  }
  return found;
}
