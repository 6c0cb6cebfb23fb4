// Looks at every rendered hand: open palms each give a crop of the same skin, backs never do, however they lie.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type HandImage,
  type HandNetworks,
  type HandSide,
  HandSight,
  type Look,
} from "../../../palm/hand/index.js";
import { openNodeHandNetworks } from "../../../palm/hand/node-networks.js";
import { openShells } from "../../../palm/synthetic/hand/node-shells.js";
import { renderHand } from "../../../palm/synthetic/hand/render.js";
import type { HandShell } from "../../../palm/synthetic/hand/shell.js";
import { synthesiseIdentity } from "../../../palm/synthetic/identity.js";
import { largestStray, madeOf, onSkin, rawOf } from "./hands.js";

const IDENTITY = synthesiseIdentity(21);
/** How far a corner strays from its mean place on the skin over all poses of a side: standard deviation, share of the region's side. */
const MAX_STRAY = 0.08;
const FRAME_MS = 66;

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

const ofKind = (kind: HandShell["kind"]) => shells.filter((shell) => shell.kind === kind);
const seenIn = (shell: HandShell, seed = 1) => renderHand(IDENTITY, shell, { seed });

const EDITS = {
  turned: (image: HandImage, degrees: number) => rawOf(image).rotate(degrees, { background: "#303030" }),
  blurred: (image: HandImage) => rawOf(image).blur(12),
  dark: (image: HandImage) => rawOf(image).linear(0.08, 0),
};
describe("a still of an open hand", () => {
  it("gives a palm of the right side, cut at the same skin in every pose and light", async () => {
    const sight = new HandSight(networks);
    const places: Record<HandSide, number[][]> = { LEFT: [], RIGHT: [] };
    for (const shell of ofKind("PALM")) {
      const { image, corners } = seenIn(shell);
      const look = await sight.lookAtStill(image);
      if (look.kind !== "palm" || !corners) return expect.unreachable(`${shell.name}: ${look.kind}`);
      expect(look.hand.side, shell.name).toBe(shell.side);
      places[shell.side].push(onSkin(look.hand.corners, corners));
    }
    expect(places.LEFT.length + places.RIGHT.length).toBeGreaterThanOrEqual(24);
    for (const side of Object.values(places)) expect(largestStray(side)).toBeLessThan(MAX_STRAY);
  }, 120_000);

  it("gives a palm turned by any eighth", async () => {
    const sight = new HandSight(networks);
    const shell = ofKind("PALM").find(({ name }) => name === "left-visible-2");
    if (!shell) return expect.unreachable("no such shell");
    for (let degrees = 0; degrees < 360; degrees += 45) {
      const look = await sight.lookAtStill(await madeOf(EDITS.turned(seenIn(shell).image, degrees)));
      expect(look, `${degrees} degrees`).toMatchObject({ kind: "palm", hand: { side: "LEFT" } });
    }
  }, 60_000);

  it("gives no palm when it is blurred or dark", async () => {
    const sight = new HandSight(networks);
    const [shell] = ofKind("PALM");
    if (!shell) return expect.unreachable("no shell");
    for (const spoil of [EDITS.blurred, EDITS.dark]) {
      const look = await sight.lookAtStill(await madeOf(spoil(seenIn(shell).image)));
      expect(look.kind).not.toBe("palm");
    }
  });
});

describe("a hand in a stream", () => {
  it("that the detector does not see upright is a palm within a few images", async () => {
    for (const shell of ofKind("PALM")) {
      const looks = await stream(Array.from({ length: 6 }, (_, seed) => seenIn(shell, seed).image));
      expect(
        looks.map(({ kind }) => kind),
        shell.name,
      ).toContain("palm");
    }
  }, 120_000);

  it("that is a back never gives a palm, turned any way and followed", async () => {
    const backs = ofKind("BACK");
    expect(backs.length).toBeGreaterThan(0);
    for (const shell of backs) {
      for (const degrees of [0, 45, 90, 180, 270]) {
        const image = await madeOf(EDITS.turned(seenIn(shell).image, degrees));
        const looks = await stream(Array.from({ length: 6 }, () => image));
        for (const look of looks) expect(look.kind, `${shell.name} by ${degrees}`).toBe("nothing");
        const reasons = looks.map((look) => (look.kind === "nothing" ? look.reason : look.kind));
        expect(reasons).toContain("BACK_OF_HAND");
      }
    }
  }, 120_000);
});

async function stream(images: readonly HandImage[]): Promise<Look[]> {
  const sight = new HandSight(networks);
  const looks: Look[] = [];
  for (const [i, image] of images.entries()) looks.push(await sight.look(image, i * FRAME_MS));
  return looks;
}
