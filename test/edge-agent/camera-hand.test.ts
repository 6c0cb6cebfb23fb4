// A hand before a camera, from the video to the frame on the wire: rendered hands, a real ffmpeg, the real networks in
// their thread, a gateway that is played. What a lane makes of it, and what it tells a hand that shows its back.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { cameraAddress } from "../../edge-agent/camera/address.js";
import { Camera } from "../../edge-agent/camera/camera.js";
import { findFfmpeg } from "../../edge-agent/camera/ffmpeg.js";
import { CameraSource } from "../../edge-agent/camera/source.js";
import { runLane } from "../../edge-agent/lane.js";
import { openSight } from "../../edge-agent/node-sight.js";
import type { Look } from "../../edge-agent/sight.js";
import type { Guidance } from "../../palm/hand/judge.js";
import type { HandImage } from "../../palm/hand/types.js";
import { openShells } from "../../palm/synthetic/hand/node-shells.js";
import { renderHand } from "../../palm/synthetic/hand/render.js";
import { synthesiseIdentity } from "../../palm/synthetic/identity.js";
import { edge } from "../../wire/codec.js";
import { emptyScene, jpegOf } from "../web/film.js";
import { listLog, openLane } from "./lane.js";
import { ffmpeg, temporaryFolder } from "./videos.js";

const FPS = 15;
const PERSON = 7;
/** Images of the hand differ by their noise and light, as a camera's do. */
const LOOKS = 4;

async function handsOf(name: string): Promise<HandImage[]> {
  const [shell] = await openShells((each) => each.name === name);
  if (!shell) throw new Error(`no shell ${name}`);
  const identity = synthesiseIdentity(PERSON);
  return Array.from({ length: LOOKS }, (_, seed) => renderHand(identity, shell, { seed, light: 1 }).image);
}

/** Nobody for a second, then the hand for three. @returns the video's file */
async function filmOf(hands: readonly HandImage[]): Promise<string> {
  const [first] = hands;
  if (!first) throw new Error("a film needs a hand");
  const nobody = await jpegOf(emptyScene(first.width, first.height));
  const there = await Promise.all(hands.map(jpegOf));
  const folder = temporaryFolder();
  const frames = Array.from({ length: 4 * FPS }, (_, i) =>
    i < FPS ? nobody : (there[i % there.length] ?? nobody),
  );
  writeFileSync(join(folder, "frames.mjpeg"), Buffer.concat(frames));
  const file = join(folder, "hand.avi");
  ffmpeg(["-f", "mjpeg", "-framerate", `${FPS}`, "-i", join(folder, "frames.mjpeg"), "-c", "copy", file]);
  return file;
}

async function openHandSource(shell: string) {
  const checked = cameraAddress(await filmOf(await handsOf(shell)));
  if (!checked.ok) throw new Error(checked.why);
  const { address } = checked;
  const guides: Guidance[] = [];
  const looks: Look[] = [];
  let wake = () => {};
  const size = { widthPx: 640, heightPx: 480 };
  const source = new CameraSource({
    openCamera: () => new Camera({ address, ffmpeg: findFfmpeg(), size, maxFps: FPS, log: listLog().log }),
    openSight,
    modality: edge.Modality.VISIBLE,
    onGuide: (reason) => guides.push(reason),
    onLook: (look) => {
      looks.push(look);
      wake();
    },
  });
  onTestFinished(() => source.close());
  const looked = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });
  return { source, guides, looks, looked };
}

it("a palm that is held before the camera is found and presented once, as a region of interest", async () => {
  const { source, looks, looked } = await openHandSource("right-visible-1");
  const { agent, connection } = await openLane();
  const ends: string[] = [];
  const stop = new AbortController();
  const day = runLane({
    ...{ agent, source, intervalMs: 0, count: 0, signal: stop.signal },
    chargeFor: () => undefined,
    onEnd: (_palm, end) => ends.push(end.kind),
  });
  const frame = await connection.frame();
  expect(frame).toMatchObject({
    stage: edge.Stage.ROI,
    encoding: edge.Encoding.GRAY8,
    widthPx: 128,
    heightPx: 128,
  });
  expect(new Set(frame.image).size).toBeGreaterThan(50);
  connection.decide(frame);
  // Until it is gone: the film begins anew.
  while (looks.at(-1)?.kind !== "nothing") await looked();
  expect(ends).toEqual(["decision"]);
  expect(connection.unreadFrames()).toBe(0);
  stop.abort();
  source.stop();
  await day;
});

it("the back of a hand is asked for its palm, and nothing is presented", async () => {
  const { source, guides, looked } = await openHandSource("back-left");
  const { agent, connection } = await openLane();
  const signal = new AbortController().signal;
  const day = runLane({
    ...{ agent, source, intervalMs: 0, count: 0, signal },
    chargeFor: () => undefined,
    onEnd: () => {},
  });
  while (guides.length === 0) await looked();
  expect(guides[0]).toBe("SHOW_PALM");
  expect(connection.unreadFrames()).toBe(0);
  source.stop();
  await day;
});
