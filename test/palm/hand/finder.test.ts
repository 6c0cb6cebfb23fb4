// What the finder says to what is no palm, how it follows a hand, and the looks made of it. Real networks, rendered hands.
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  HandFinder,
  type HandImage,
  type HandNetworks,
  HandSight,
  type Point,
} from "../../../palm/hand/index.js";
import { openNodeHandNetworks } from "../../../palm/hand/node-networks.js";
import { SightThread } from "../../../palm/hand/node-sight.js";
import { openShells } from "../../../palm/synthetic/hand/node-shells.js";
import { renderHand } from "../../../palm/synthetic/hand/render.js";
import type { HandShell } from "../../../palm/synthetic/hand/shell.js";
import { synthesiseIdentity } from "../../../palm/synthetic/identity.js";
import { madeOf, rawOf } from "./hands.js";

const IDENTITY = synthesiseIdentity(21);
const OPEN_HAND = "right-visible-1";
/** Of the detector's and the landmarks' noise, in sides of the region. */
const SAME_PLACE = 0.06;
/** The finder turns its guess once for each way up. */
const WAYS_UP = 4;

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

function handOf(name = OPEN_HAND, seed = 1): HandImage {
  const shell = shells.find((each) => each.name === name);
  if (!shell) throw new Error(`no shell ${name}`);
  return renderHand(IDENTITY, shell, { seed }).image;
}

const drawn = (svg: string) =>
  madeOf(
    sharp(
      Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="640" height="480">${svg}</svg>`),
    ).flatten({
      background: "#203040",
    }),
  );

const filled = (value: number | (() => number), channels: 1 | 3 = 3): HandImage => {
  const pixels = new Uint8Array(640 * 480 * channels);
  if (typeof value === "number") pixels.fill(value);
  else for (let i = 0; i < pixels.length; i++) pixels[i] = value();
  return { width: 640, height: 480, channels, pixels };
};

function noise(): HandImage {
  let state = 12345;
  return filled(() => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

const FACE = `<ellipse cx="320" cy="240" rx="130" ry="175" fill="#e0ac90"/>
  <ellipse cx="270" cy="200" rx="22" ry="12" fill="#fff"/><ellipse cx="370" cy="200" rx="22" ry="12" fill="#fff"/>
  <circle cx="270" cy="200" r="9" fill="#331"/><circle cx="370" cy="200" r="9" fill="#331"/>
  <path d="M320 210 L305 265 L335 265 Z" fill="#c98f76"/><path d="M270 320 Q320 355 370 320" stroke="#a33" stroke-width="10" fill="none"/>
  <path d="M190 190 Q200 60 320 65 Q440 60 450 190 Q400 110 320 115 Q240 110 190 190" fill="#402a1a"/>`;

describe("what is no palm", () => {
  it.each<[string, () => HandImage | Promise<HandImage>]>([
    ["black", () => filled(0)],
    ["white", () => filled(255)],
    ["grey of one channel", () => filled(128, 1)],
    ["noise", noise],
    ["a face", () => drawn(FACE)],
    ["a ball on a plain ground", () => drawn('<circle cx="320" cy="240" r="150" fill="#ffe0d0"/>')],
    ["a bright bar", () => drawn('<rect x="120" y="200" width="400" height="90" fill="#fff"/>')],
    ["a room without a hand", () => handOf("empty")],
  ])("ends with NO_HAND: %s", async (_, make) => {
    const image = await make();
    const finder = new HandFinder(networks);
    for (let way = 0; way < WAYS_UP; way++) {
      expect(await finder.find(image)).toEqual({ ok: false, reason: "NO_HAND" });
    }
    expect((await new HandSight(networks).lookAtStill(image)).kind).toBe("nothing");
  });

  it.each<[string, Partial<HandImage>]>([
    ["one pixel", { width: 1, height: 1, channels: 1, pixels: new Uint8Array(1) }],
    ["a hundred megapixels, by its own word", { width: 10_000, height: 10_000, pixels: new Uint8Array(10) }],
    ["fewer bytes than declared", { pixels: new Uint8Array(640 * 480 * 3 - 1) }],
    ["more bytes than declared", { pixels: new Uint8Array(640 * 480 * 3 + 1) }],
    ["no bytes", { pixels: new Uint8Array(0) }],
    ["a side that is no number", { width: Number.NaN }],
    ["a broken pixel", { width: 640.5 }],
    ["a negative side", { height: -480 }],
    ["two channels", { channels: 2 as 1, pixels: new Uint8Array(640 * 480 * 2) }],
  ])("ends with BAD_IMAGE before anything is made of it: %s", async (_, wrong) => {
    const image = { ...filled(100), ...wrong };
    expect(await new HandFinder(networks).find(image)).toEqual({ ok: false, reason: "BAD_IMAGE" });
    expect(await new HandSight(networks).look(image, 0)).toEqual({ kind: "nothing", reason: "BAD_IMAGE" });
  });
});

/** Where the finder cuts when it has searched and then followed. */
async function placeOf(image: HandImage) {
  const finder = new HandFinder(networks);
  for (let finds = 0; finds < WAYS_UP + 1; finds++) {
    const found = await finder.find(image);
    if (found.ok && found.hand.path === "TRACKED") return found.hand;
  }
  throw new Error("no hand was found and followed");
}

describe("a hand", () => {
  it("is cut at the same skin, however the image is turned", async () => {
    const image = handOf();
    const upright = await placeOf(image);
    for (const quarters of [1, 2, 3]) {
      const turned = await madeOf(rawOf(image).rotate(90 * quarters));
      const { corners, side } = await placeOf(turned);
      expect(side).toBe(upright.side);
      const expected = upright.corners.map((corner) => turnedBy(corner, quarters, image));
      expect(awayInSides(corners, expected)).toBeLessThan(SAME_PLACE);
    }
  }, 60_000);

  it("is cut at the same skin in an image of half the size", async () => {
    const image = handOf();
    const { corners } = await placeOf(image);
    const half = await placeOf(await madeOf(rawOf(image).resize(320, 240)));
    const expected = corners.map(({ x, y }) => ({ x: x / 2, y: y / 2 }));
    expect(awayInSides(half.corners, expected)).toBeLessThan(SAME_PLACE);
  });

  it("is the other hand, or a back, in a mirror, and never the same hand", async () => {
    const mirrored = await new HandSight(networks).lookAtStill(await madeOf(rawOf(handOf()).flop()));
    if (mirrored.kind === "nothing") expect(mirrored.reason).toBe("BACK_OF_HAND");
    else expect(mirrored.hand?.side).toBe("LEFT");
  });

  it("is searched for once, then followed; forgotten, it is searched for again", async () => {
    const image = handOf();
    const finder = new HandFinder(networks);
    expect(await finder.find(image)).toMatchObject({ ok: true, hand: { path: "SEARCHED" } });
    expect(await finder.find(handOf(OPEN_HAND, 2))).toMatchObject({ ok: true, hand: { path: "TRACKED" } });
    finder.forget();
    expect(await finder.find(image)).toMatchObject({ ok: true, hand: { path: "SEARCHED" } });
  });

  it("that has gone is no hand, and the next one is found", async () => {
    const finder = new HandFinder(networks);
    await finder.find(handOf());
    expect(await finder.find(handOf())).toMatchObject({ ok: true });
    expect(await finder.find(handOf("empty"))).toEqual({ ok: false, reason: "NO_HAND" });
    expect(await finder.find(handOf("left-visible-1"))).toMatchObject({ ok: true, hand: { side: "LEFT" } });
  });

  it("is no palm to send any more soon after a second one has come", async () => {
    const finder = new HandFinder(networks);
    const reasons = [];
    await finder.find(handOf());
    for (let image = 0; image < 10; image++) {
      const found = await finder.find(handOf("two-hands"));
      if (!found.ok) reasons.push(found.reason);
    }
    expect(reasons).toContain("TWO_HANDS");
  }, 60_000);
});

describe("a look", () => {
  it("gives no palm from the image in which the hand is first seen, and one from the next", async () => {
    const sight = new HandSight(networks);
    expect(await sight.look(handOf(), 0)).toMatchObject({ kind: "guide", reason: "HOLD_STILL" });
    const look = await sight.look(handOf(OPEN_HAND, 2), 66);
    expect(look).toMatchObject({ kind: "palm", roi: { width: 128, height: 128 }, hand: { side: "RIGHT" } });
  });

  it("at a still gives a palm at once", async () => {
    expect(await new HandSight(networks).lookAtStill(handOf())).toMatchObject({ kind: "palm" });
  });

  it("at a dark image of a hand says what is wrong, and gives no palm", async () => {
    const dark = await madeOf(rawOf(handOf()).linear(0.08, 0));
    const look = await new HandSight(networks).lookAtStill(dark);
    expect(look.kind).not.toBe("palm");
  });

  it("at a hand that moves fast asks to hold still", async () => {
    const sight = new HandSight(networks);
    const image = handOf();
    await sight.look(image, 0);
    await sight.look(image, 33);
    const moved = await madeOf(
      rawOf(image)
        .extend({ left: 60, background: "#808080" })
        .extract({ left: 0, top: 0, width: 640, height: 480 }),
    );
    expect(await sight.look(moved, 66)).toMatchObject({ kind: "guide", reason: "HOLD_STILL" });
  });
});

describe("the sight thread", () => {
  it("takes the pixels, looks at one image at a time, and leaves nothing behind", async () => {
    const thread = await SightThread.open();
    const image = handOf();
    const first = thread.lookAtStill(image);
    expect(image.pixels.length).toBe(0);
    await expect(thread.look(handOf(), 0)).rejects.toThrow(/one look at a time/);
    expect(await first).toMatchObject({ kind: "palm" });
    expect(await thread.look(filled(0), 0)).toEqual({ kind: "nothing", reason: "NO_HAND" });
    await thread.close();
    await expect(thread.look(filled(0), 0)).rejects.toThrow(/has ended/);
  }, 60_000);
});

function turnedBy({ x, y }: Point, quarters: number, { width, height }: HandImage): Point {
  if (quarters === 1) return { x: height - y, y: x };
  if (quarters === 2) return { x: width - x, y: height - y };
  return { x: y, y: width - x };
}

/** Largest way between two regions' corners, in sides of the first. */
function awayInSides(corners: readonly Point[], expected: readonly Point[]): number {
  const [a, b] = corners as [Point, Point];
  const sidePx = Math.hypot(a.x - b.x, a.y - b.y);
  return Math.max(
    ...corners.map(({ x, y }, i) => {
      const other = expected[i] as Point;
      return Math.hypot(x - other.x, y - other.y) / sidePx;
    }),
  );
}
