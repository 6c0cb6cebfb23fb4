// The page /lane: a complete edge agent in a browser.
//
// Follow one palm from here:
//   pairing.ts, device.ts   this browser becomes a lane, once
//   ../camera.ts, ../watch.ts   frame after frame
//   ../sight.ts -> ../sight-worker.ts   the hand is found, cut and judged (palm/hand/) in a worker
//   lane.ts                 guidance, until the best crops of the visit are ready (edge-agent/camera/visit.ts), and then
//                           one presentation: from here on the agent of any lane (edge-agent/lane-agent.ts)
//   scenes.ts, screen.ts    what the person sees
import type { AgentLog } from "../../edge-agent/host.js";
import { type Agent, startLaneAgent } from "../../edge-agent/lane-agent.js";
import type { LinkState } from "../../edge-agent/link.js";
import { edge } from "../../wire/edge-codec.js";
import { browserHost } from "../browser-host.js";
import { Camera, type CameraProblem } from "../camera.js";
import { cameraScene } from "../camera-scene.js";
import { passInAddress } from "../pass.js";
import { openSight, type Sight } from "../sight.js";
import { loadTexts, type Texts } from "../texts.js";
import { watchHands } from "../watch.js";
import { type Device, forgetDevice, signerOf, storedDevice } from "./device.js";
import { BrowserLane, screenGate } from "./lane.js";
import { pair } from "./pairing.js";
import { openPassageJournal } from "./passage-journal.js";
import { ASK_AMOUNT, CONNECTING, LOADING } from "./scenes.js";
import { Screen } from "./screen.js";
import { askForPass } from "./setup.js";
import { Till } from "./till.js";

/** Refusals that no waiting mends, as a person reads them. */
const UNKNOWN_DEVICE = "The gateway does not know this lane any more. Pair it again with a new pass.";
const DUPLICATE_DEVICE = "This lane is open in another tab or window as well. Close one of them.";

const log: AgentLog = {
  warn: (fields, message) => console.info(message, fields),
  error: (fields, message) => console.info(message, fields),
};

/** From the page's load to its end. */
class LanePage {
  readonly #screen = new Screen();
  readonly #stop = new AbortController();
  #camera: Camera | undefined;
  #lane: BrowserLane | undefined;
  #till: Till | undefined;
  #problem: CameraProblem | undefined;

  async run(): Promise<void> {
    const screen = this.#screen;
    screen.show(LOADING);
    const device = await ownDevice();
    screen.fact("Lane", device.deviceId);
    screen.fact("Site", device.site);
    screen.onUnpair(async () => {
      await forgetDevice();
      location.reload();
    });
    screen.stage.hidden = false;
    const [agent, sight, texts] = await Promise.all([this.#connect(device), openSight(), loadTexts()]);
    await this.#work(agent, sight, texts);
  }

  #connect(device: Device): Promise<Agent> {
    return startLaneAgent({
      gateway: new URL("/", location.href),
      deviceId: device.deviceId,
      host: browserHost(signerOf(device)),
      gate: screenGate,
      passageStore: openPassageJournal(localStorage, device.deviceId),
      log,
      onState: (state) => this.#linkChanged(state),
    });
  }

  #linkChanged(state: LinkState): void {
    const screen = this.#screen;
    screen.link(state.phase === "open" || state.phase === "connecting" ? state.phase : "away");
    if (state.phase === "open") this.#showRest();
    if (state.phase !== "waiting" || this.#stop.signal.aborted) return;
    const code = state.after.kind === "refused" ? state.after.code : undefined;
    const isTwice = code === "DUPLICATE_DEVICE";
    const scene = isTwice ? { ...CONNECTING, detail: DUPLICATE_DEVICE } : CONNECTING;
    if (this.#lane) this.#lane.linkLost(scene);
    else screen.show(scene);
    if (code === "UNAUTHENTICATED") void this.#pairAgain();
  }

  /** What the screen shows when nothing happens. */
  #showRest(): void {
    if (this.#till?.isSet === false) this.#screen.show(ASK_AMOUNT);
    else if (this.#problem) this.#screen.show(cameraScene(this.#problem));
    else this.#lane?.refresh();
  }

  /** The old device is of no use: the camera goes off, and the page starts anew with the new one. */
  async #pairAgain(): Promise<void> {
    this.#stop.abort();
    this.#camera?.close();
    this.#screen.stage.hidden = true;
    await askForPass(UNKNOWN_DEVICE);
    location.reload();
  }

  async #work(agent: Agent, sight: Sight, texts: Texts): Promise<void> {
    const screen = this.#screen;
    const isTill = agent.terms().purpose === edge.Purpose.PAY;
    screen.fact("Purpose", isTill ? "Payment" : "Entry");
    const till = isTill ? await this.#openTill() : undefined;
    if (this.#stop.signal.aborted) return;
    const lane = new BrowserLane({ agent, screen, texts, till });
    this.#lane = lane;
    const camera = new Camera({
      video: screen.video,
      facing: "user",
      onState: (state) => {
        // Nothing of what the camera saw before it was off is used any more.
        if (state.kind === "on") sight.forget();
        if (state.kind === "on") void keepAwake();
        this.#problem = state.kind === "problem" ? state.problem : undefined;
        if (state.kind === "on") screen.mirror(state.mirrored);
        if (state.kind === "on" || state.kind === "problem") this.#showRest();
      },
    });
    this.#camera = camera;
    screen.onTurn(() => void camera.open(camera.facing === "user" ? "environment" : "user"));
    await camera.open();
    await watchHands({ camera, sight, onSeen: (seen) => lane.see(seen), signal: this.#stop.signal });
  }

  /** Resolves when there is an amount to pay: the camera stays off until then. */
  #openTill(): Promise<Till> {
    return new Promise((resolve) => {
      const till = new Till(() => {
        resolve(till);
        this.#showRest();
      });
      this.#till = till;
      till.show();
      if (till.isSet) resolve(till);
      else this.#showRest();
    });
  }
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

/** A lane's screen stays on. Where that is not possible (an old browser, a low battery), the system decides. */
async function keepAwake(): Promise<void> {
  try {
    await navigator.wakeLock.request("screen");
  } catch (error) {
    console.info("the screen may go to sleep", error);
  }
}

new LanePage().run().catch((error: unknown) => {
  console.error(error);
  new Screen().show({
    tone: "refused",
    headline: "This lane has stopped",
    detail: "Please load the page again",
  });
});
