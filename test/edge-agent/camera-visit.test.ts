// Who stands before the camera, and what the lane makes of it: real videos through a real ffmpeg, with a sight that
// takes a bright square for a hand (the real one has its own tests).
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { BestCrops } from "../../edge-agent/best-crops.js";
import { cameraAddress } from "../../edge-agent/camera/address.js";
import { Attention } from "../../edge-agent/camera/attention.js";
import { Camera } from "../../edge-agent/camera/camera.js";
import { findFfmpeg } from "../../edge-agent/camera/ffmpeg.js";
import { Guides } from "../../edge-agent/camera/guides.js";
import { MotionDetector, sceneOf } from "../../edge-agent/camera/motion.js";
import { toHandImage } from "../../edge-agent/camera/pixels.js";
import { CameraSource, type Images } from "../../edge-agent/camera/source.js";
import { Visit } from "../../edge-agent/camera/visit.js";
import { runLane } from "../../edge-agent/lane.js";
import type { Look } from "../../edge-agent/sight.js";
import { type Palm, palmOfImages } from "../../edge-agent/source/source.js";
import type { Guidance } from "../../palm/hand/judge.js";
import { edge } from "../../wire/codec.js";
import { images, listLog, openLane } from "./lane.js";
import { drawVideo, guideIn, palmIn, type Scene, SquareSight } from "./videos.js";

function openCameraSource(scene: Scene) {
  const checked = cameraAddress(drawVideo(scene));
  if (!checked.ok) throw new Error(checked.why);
  const { address } = checked;
  const sight = new SquareSight();
  const guides: Guidance[] = [];
  let read = 0;
  const source = new CameraSource({
    openCamera: () =>
      new Camera({
        ...{ address, ffmpeg: findFfmpeg(), size: { widthPx: 640, heightPx: 480 }, maxFps: 15 },
        log: listLog().log,
        onImage: (result) => {
          if (result === "read") read += 1;
        },
      }),
    openSight: async () => sight,
    modality: edge.Modality.NIR,
    onGuide: (reason) => guides.push(reason),
  });
  onTestFinished(() => source.close());
  return { source, sight, guides, read: () => read };
}

/** A square that is there in every other image; between two images more time passes than a hand may be away. */
function visitors(): Images {
  let index = 0;
  let isClosed = false;
  return {
    next: async () => {
      await new Promise(setImmediate);
      if (isClosed) return undefined;
      const isIn = (i: number) => index % 2 === 0 && i % 64 > 20 && i > 20 * 64;
      const luma = new Uint8Array(64 * 64).map((_, i) => (isIn(i) ? 200 : 60));
      const chroma = new Uint8Array(32 * 32).fill(128);
      const atMs = 500 * index;
      return { widthPx: 64, heightPx: 64, luma, blue: chroma, red: chroma, atMs, index: index++ };
    },
    close: async () => {
      isClosed = true;
    },
  };
}

function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
}

const IMAGE = { width: 320, height: 240, channels: 3 as const, pixels: new Uint8Array(320 * 240 * 3) };
const palm = (): Look => palmIn(IMAGE);
const NOTHING: Look = { kind: "nothing", reason: "NO_HAND" };

describe("a lane with a camera", () => {
  it("presents a hand once, however long it stays, and the next when it comes again", async () => {
    const { source, sight } = openCameraSource({ seconds: 3, square: [0.5, 2] });
    const { agent, connection } = await openLane();
    const stop = new AbortController();
    const ends: string[] = [];
    const day = runLane({
      ...{ agent, source, intervalMs: 0, count: 2, signal: stop.signal },
      chargeFor: () => undefined,
      onEnd: (_palm, end) => ends.push(end.kind),
    });
    const first = await connection.frame();
    expect(first).toMatchObject({
      stage: edge.Stage.ROI,
      modality: edge.Modality.NIR,
      widthPx: 128,
      heightPx: 128,
    });
    connection.decide(first);
    const second = await connection.frame();
    expect(second.presentationId).not.toEqual(first.presentationId);
    // The square was gone in between.
    const seen = sight.looks.map(({ look }) => look.kind);
    expect(seen.slice(seen.indexOf("palm"), seen.lastIndexOf("palm"))).toContain("nothing");
    connection.decide(second);
    await day;
    expect(ends).toEqual(["decision", "decision"]);
    await source.close();
    expect(sight.isClosed).toBe(true);
  });

  it("sends another crop only when it is asked, and never the same one", async () => {
    const { source } = openCameraSource({ seconds: 4, square: [0.2, 4] });
    const { agent, connection } = await openLane();
    const visit = await source.next();
    if (!visit) throw new Error("nobody came");
    const end = agent.present(visit);
    const frames = [await connection.frame()];
    for (let i = 0; i < 2; i++) {
      await connection.settled();
      expect(connection.unreadFrames()).toBe(0);
      connection.send({
        guide: { presentationId: frames[0]?.presentationId ?? null, reason: edge.Reason.HOLD_STILL },
      });
      frames.push(await connection.frame());
    }
    expect(frames.map(({ last }) => last ?? false)).toEqual([false, false, true]);
    expect(new Set(frames.map(({ image }) => Buffer.from(image ?? []).toString("base64"))).size).toBe(3);
    connection.decide(frames[0] ?? {});
    await end;
  });

  it("looks at nearly nothing while nobody is there, and at a hand within 100 ms of the image it enters in", async () => {
    const { source, sight, read } = openCameraSource({ seconds: 6, square: [3, 6] });
    await source.next();
    const seenAt = sight.looks.findIndex(({ look }) => look.kind === "palm");
    // Half a second at the start, for a hand may lie there already; one more at the slow beat.
    expect(seenAt).toBeLessThanOrEqual(10);
    expect(read()).toBeGreaterThan(30);
    const entered = sight.looks[seenAt]?.atMs ?? 0;
    expect(performance.now() - entered).toBeLessThan(100);
  });

  it("guides calmly, and says when nobody is there any more", async () => {
    const { source, sight, guides } = openCameraSource({ seconds: 4, square: [0.5, 2.5] });
    sight.sees = guideIn;
    const next = source.next();
    while (!guides.includes("NO_HAND")) await sight.looked();
    expect(guides).toEqual(["CLOSER", "NO_HAND"]);
    await source.close();
    expect(await next).toBeUndefined();
  });

  it("keeps nothing of the visits that are over, however many there were", async () => {
    const source = new CameraSource({
      openCamera: visitors,
      openSight: async () => new SquareSight(),
      modality: edge.Modality.VISIBLE,
    });
    onTestFinished(() => source.close());
    const visits: WeakRef<Palm>[] = [];
    for (let i = 0; i < 20; i++) {
      const visit = await source.next();
      if (visit) visits.push(new WeakRef(visit));
      source.ended(false);
    }
    await new Promise(setImmediate);
    collectGarbage();
    // The last one may still be at hand.
    expect(visits.filter((visit) => visit.deref() !== undefined).length).toBeLessThanOrEqual(1);
    expect(visits).toHaveLength(20);
  });

  it("fails its lane when its sight fails, and leaves no process", async () => {
    const { source, sight } = openCameraSource({ seconds: 1 });
    sight.look = () => Promise.reject(new Error("the networks are gone"));
    await expect(source.next()).rejects.toThrow("the networks are gone");
    expect(sight.isClosed).toBe(true);
    await source.close();
  });
});

describe("the end of a presentation", () => {
  const { MATCH, NO_MATCH, UNDECIDED, LOW_QUALITY } = edge.Outcome;
  const CHARGE = { amountMinor: 100, currency: "EUR", orderRef: "1" };

  it.each([
    ["nobody was recognised", { outcome: NO_MATCH }, undefined, true],
    ["the image was too poor", { outcome: LOW_QUALITY }, undefined, true],
    ["nothing was decided, though it is a payment", { outcome: UNDECIDED }, CHARGE, true],
    ["it was granted", { outcome: MATCH, granted: true }, undefined, false],
    ["it was refused", { outcome: MATCH, granted: false }, undefined, false],
    ["the card was declined", { outcome: MATCH, granted: false }, CHARGE, false],
    ["the gateway was busy", "BUSY" as const, undefined, true],
    ["it is open whether money moved", "BUSY" as const, CHARGE, false],
  ])("when %s, says whether the palm may be tried as it lies", async (_what, answer, charge, again) => {
    const { agent, connection } = await openLane();
    const told: boolean[] = [];
    const source = {
      next: async () => palmOfImages(images(1)),
      ended: (mayTryAgain: boolean) => told.push(mayTryAgain),
    };
    const signal = new AbortController().signal;
    const day = runLane({
      agent,
      source,
      chargeFor: () => charge,
      intervalMs: 0,
      count: 1,
      onEnd: () => {},
      signal,
    });
    const frame = await connection.frame();
    if (answer === "BUSY") {
      connection.send({ error: { code: edge.ErrorCode.BUSY, presentationId: frame.presentationId ?? null } });
    } else {
      connection.decide(frame, { granted: false, ...answer });
    }
    await day;
    expect(told).toEqual([again]);
  });
});

describe("a visit", () => {
  /** Looks every 50 ms. */
  function visitor() {
    const crops = new BestCrops();
    const visit = new Visit(crops);
    let nowMs = 0;
    const see = (look: Look, forMs = 50): boolean[] => {
      const ready: boolean[] = [];
      for (const endMs = nowMs + forMs; nowMs < endMs; nowMs += 50) ready.push(visit.see(look, nowMs));
      return ready;
    };
    return { visit, see, nowMs: () => nowMs };
  }

  it("that was recognised ends for good until the hand has left", () => {
    const { visit, see, nowMs } = visitor();
    expect(see(palm())).toEqual([true]);
    visit.begin();
    expect(see(palm(), 500)).not.toContain(true);
    visit.ended(false, nowMs());
    expect(see(palm(), 60_000)).not.toContain(true);
    see(NOTHING, 300);
    expect(see(palm(), 1000)).not.toContain(true);
    see(NOTHING, 500);
    expect(see(palm())).toEqual([true]);
  });

  it("that was not recognised may be presented again as it is, a little later, but not for ever", () => {
    const { visit, see, nowMs } = visitor();
    let presentations = 0;
    for (let i = 0; i < 10; i++) {
      if (!see(palm(), 5000).includes(true)) break;
      presentations += 1;
      visit.begin();
      visit.ended(true, nowMs());
      expect(see(palm(), 1900)).not.toContain(true);
    }
    expect(presentations).toBe(5);
  });

  it("whose hand left while it was presented ends with the presentation, and mixes in nobody else's palm", async () => {
    const { visit, see, nowMs } = visitor();
    see(palm());
    visit.begin();
    see(NOTHING, 500);
    const others = palm();
    expect(see(others)).toEqual([false]);
    if (others.kind === "palm") expect(others.roi.pixels.every((each) => each === 0)).toBe(true);
    visit.ended(false, nowMs());
    expect(see(palm())).toEqual([true]);
  });

  it("that nobody could present in time starts anew: no crop is older than a second", () => {
    const crops = new BestCrops();
    const visit = new Visit(crops);
    const first = palmIn({ ...IMAGE, pixels: IMAGE.pixels.map(() => 7) });
    visit.see(first, 0);
    visit.see(palm(), 1001);
    if (first.kind === "palm") expect(first.roi.pixels.every((each) => each === 0)).toBe(true);
  });

  it("whose palm nobody could present in time is not presented later, when the palm shows no more", () => {
    const { visit, see } = visitor();
    const seen = palm();
    if (seen.kind !== "palm") throw new Error("a palm");
    seen.roi.pixels.fill(7);
    expect(visit.see(seen, 0)).toBe(true);
    const fist: Look = { kind: "guide", reason: "OPEN_HAND" };
    expect(see(fist, 1000)).toContain(true);
    expect(see(fist, 1000).slice(1)).not.toContain(true);
    expect(seen.roi.pixels.every((each) => each === 0)).toBe(true);
  });
});

describe("motion", () => {
  const [widthPx, heightPx] = [640, 480];
  const noise = fc.sample(fc.integer({ min: -6, max: 6 }), 4096);
  /** A grey ramp with noise; in it a square that is brighter by `levels`. */
  function view(options: { square?: number; levels?: number; light?: number; seed?: number } = {}) {
    const { square = 0, levels = 40, light = 0, seed = 0 } = options;
    const luma = new Uint8ClampedArray(widthPx * heightPx).map((_, i) => {
      const [x, y] = [i % widthPx, Math.floor(i / widthPx)];
      const isIn = x >= 100 && x < 100 + square && y >= 300 && y < 300 + square;
      return 80 + x / 10 + light + (isIn ? levels : 0) + (noise[(i * 7 + seed * 131) % noise.length] ?? 0);
    });
    return { widthPx, heightPx, luma: new Uint8Array(luma.buffer) };
  }
  const settled = () => {
    const motion = new MotionDetector();
    motion.settle(sceneOf(view()));
    return motion;
  };

  it("is a hand that enters, and none is the sensor's noise, a fly, or the camera's exposure", () => {
    expect(settled().moved(sceneOf(view({ square: 90 })))).toBe(true);
    expect(settled().moved(sceneOf(view({ square: 90, levels: -40 })))).toBe(true);
    for (let seed = 1; seed < 20; seed++) expect(settled().moved(sceneOf(view({ seed })))).toBe(false);
    expect(settled().moved(sceneOf(view({ square: 20 })))).toBe(false);
    expect(settled().moved(sceneOf(view({ light: 30, seed: 3 })))).toBe(false);
    expect(new MotionDetector().moved(sceneOf(view()))).toBe(true);
  });

  it("draws a look at every image for half a second, then none before three seconds have passed", () => {
    const attention = new Attention();
    attention.looked(sceneOf(view()), 0, true);
    const lookedAtMs: number[] = [];
    for (let nowMs = 100; nowMs <= 5000; nowMs += 100) {
      // Something comes after a second and lies still from then on, in vain.
      const scene = sceneOf(view({ square: nowMs >= 1000 ? 90 : 0, seed: nowMs }));
      if (!attention.isDrawn(scene, nowMs)) continue;
      lookedAtMs.push(nowMs);
      attention.looked(scene, nowMs, true);
    }
    expect(lookedAtMs).toEqual([1000, 1100, 1200, 1300, 1400, 4400]);
  });

  it("costs less than half a millisecond an image", () => {
    const image = view({ square: 50 });
    const motion = settled();
    const timesMs = Array.from({ length: 50 }, () => {
      const startedAtMs = performance.now();
      motion.moved(sceneOf(image));
      return performance.now() - startedAtMs;
    });
    expect(Math.min(...timesMs)).toBeLessThan(0.5);
  });
});

describe("what a person is told", () => {
  it("is said when it has held for a while, once, and not more than one thing every half second", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("CLOSER" as const, "HOLD_FLAT" as const, undefined), { maxLength: 200 }),
        (wishes) => {
          const said: { reason: Guidance; atMs: number }[] = [];
          let nowMs = 0;
          const guides = new Guides((reason) => said.push({ reason, atMs: nowMs }));
          for (const wish of wishes) {
            nowMs += 67;
            guides.want(wish, nowMs);
          }
          said.forEach(({ reason, atMs }, i) => {
            const upTo = atMs / 67;
            expect(wishes.slice(upTo - 3, upTo)).toEqual([reason, reason, reason]);
            const before = said[i - 1];
            if (before)
              expect(atMs - before.atMs).toBeGreaterThanOrEqual(before.reason === reason ? 3000 : 500);
          });
        },
      ),
    );
  });
});

it("a camera's planar image becomes the same colours", () => {
  // Full-range BT.601 of pure red, green, blue and white.
  const colours = [
    { yuv: [76, 85, 255], rgb: [254, 0, 0] },
    { yuv: [150, 44, 21], rgb: [0, 255, 1] },
    { yuv: [29, 255, 107], rgb: [0, 0, 254] },
    { yuv: [255, 128, 128], rgb: [255, 255, 255] },
  ];
  for (const { yuv, rgb } of colours) {
    const [y = 0, u = 0, v = 0] = yuv;
    const image = toHandImage({
      ...{ widthPx: 3, heightPx: 3, atMs: 0, index: 0 },
      luma: new Uint8Array(9).fill(y),
      blue: new Uint8Array(4).fill(u),
      red: new Uint8Array(4).fill(v),
    });
    expect(image).toMatchObject({ width: 3, height: 3, channels: 3 });
    for (let i = 0; i < 27; i++)
      expect(Math.abs((image.pixels[i] ?? 0) - (rgb[i % 3] ?? 0))).toBeLessThanOrEqual(1);
  }
});
