// The page /lane: a complete edge agent in a browser.
//
// Follow one palm from here:
//   pairing.ts, device.ts   this browser becomes a lane, once
//   ../camera.ts, ../watch.ts   frame after frame
//   ../sight.ts -> ../sight-worker.ts   the hand is found, cut and judged (palm/hand/) in a worker
//   visit.ts                guidance, until the best crops of the visit are ready (edge-agent/best-crops.ts)
//   lane.ts                 one presentation: from here on the agent of any lane (edge-agent/lane-agent.ts)
//   scenes.ts, screen.ts    what the person sees
import type { AgentLog } from "../../edge-agent/host.js";
import { type Agent, startLaneAgent } from "../../edge-agent/lane-agent.js";
import type { LinkState } from "../../edge-agent/link.js";
import { edge } from "../../wire/codec.js";
import { browserHost } from "../browser-host.js";
import { Camera, type CameraState } from "../camera.js";
import { openSight, type Sight } from "../sight.js";
import { loadTexts, type Texts } from "../texts.js";
import { watchHands } from "../watch.js";
import { type Device, forgetDevice, signerOf, storedDevice } from "./device.js";
import { BrowserLane, screenGate } from "./lane.js";
import { pair, passInAddress } from "./pairing.js";
import { cameraScene, LOADING, readyScene } from "./scenes.js";
import { Screen } from "./screen.js";
import { askForPass } from "./setup.js";
import { Till } from "./till.js";

/** What only pairing anew mends. */
const REFUSALS: Readonly<Record<string, string>> = {
  UNAUTHENTICATED: "The gateway does not know this lane any more. Pair it again with a new pass.",
};
const DUPLICATE = "This lane is open in another tab or window as well. Close one of them.";

const log: AgentLog = {
  warn: (fields, message) => console.info(message, fields),
  error: (fields, message) => console.info(message, fields),
};

async function main(): Promise<void> {
  const screen = new Screen();
  screen.show(LOADING);
  const device = await ownDevice();
  screen.fact("Lane", device.deviceId);
  screen.fact("Site", device.site);
  screen.unpairButton.hidden = false;
  screen.unpairButton.onclick = async () => {
    await forgetDevice();
    location.reload();
  };
  screen.stage.hidden = false;
  const [agent, sight, texts] = await Promise.all([connect(device, screen), openSight(), loadTexts()]);
  await work(screen, agent, sight, texts);
}

/** A pass in the address makes a new device, also where there is one. */
async function ownDevice(): Promise<Device> {
  const pass = passInAddress();
  if (pass !== undefined) {
    const paired = await pair(pass);
    return paired.ok ? paired.device : askForPass(paired.why);
  }
  return (await storedDevice()) ?? askForPass("");
}

function connect(device: Device, screen: Screen): Promise<Agent> {
  return startLaneAgent({
    gateway: new URL("/", location.href),
    deviceId: device.deviceId,
    host: browserHost(signerOf(device)),
    gate: screenGate,
    log,
    onState: (state) => linkChanged(state, screen),
  });
}

function linkChanged(state: LinkState, screen: Screen): void {
  if (state.phase === "open" || state.phase === "connecting") screen.link(state.phase);
  else screen.link("away");
  if (state.phase !== "waiting" || state.after.kind !== "refused") return;
  const { code } = state.after;
  const refusal = REFUSALS[code];
  if (refusal !== undefined) void pairAgain(screen, refusal);
  if (code === "DUPLICATE_DEVICE")
    screen.show({ tone: "refused", headline: "Opened twice", detail: DUPLICATE });
}

/** The old device is of no use; the page starts anew with the new one. */
async function pairAgain(screen: Screen, why: string): Promise<void> {
  screen.stage.hidden = true;
  await askForPass(why);
  location.reload();
}

async function work(screen: Screen, agent: Agent, sight: Sight, texts: Texts): Promise<void> {
  const isTill = agent.terms().purpose === edge.Purpose.PAY;
  const till = isTill ? new Till(() => screen.show(readyScene(texts, till?.text))) : undefined;
  till?.show();
  screen.fact("Purpose", isTill ? "Payment" : "Entry");
  const camera = new Camera({
    video: screen.video,
    facing: "user",
    onState: (state) => cameraChanged(state, { screen, sight, texts, till }),
  });
  screen.turnButton.hidden = false;
  screen.turnButton.onclick = () => void camera.open(camera.facing === "user" ? "environment" : "user");
  await camera.open();
  const lane = new BrowserLane({ agent, screen, texts, till });
  await watchHands({ camera, sight, onSeen: (seen) => lane.see(seen), signal: new AbortController().signal });
}

function cameraChanged(
  state: CameraState,
  { screen, sight, texts, till }: { screen: Screen; sight: Sight; texts: Texts; till: Till | undefined },
): void {
  if (state.kind === "problem") screen.show(cameraScene(state.problem));
  if (state.kind !== "on") return;
  // Nothing of what the camera saw before it was off is used any more.
  sight.forget();
  screen.mirror(state.mirrored);
  screen.show(readyScene(texts, till?.text));
}

main().catch((error: unknown) => {
  console.error(error);
  new Screen().show({
    tone: "refused",
    headline: "This lane has stopped",
    detail: "Please load the page again",
  });
});
