// The step in which a hand is photographed: the camera's picture, guidance, and three captures of the hand asked for.
//
// Invariants: the camera is on only while a hand is asked for; guidance holds for STEADY_MS before it is shown.
import type { HandSide } from "../../palm/hand/index.js";
import { Camera, type CameraState } from "../camera.js";
import { cameraScene } from "../camera-scene.js";
import { element } from "../dom.js";
import { HandOverlay, type Tone as HandTone } from "../hand-overlay.js";
import type { Sight } from "../sight.js";
import { Steady } from "../steady.js";
import type { Texts } from "../texts.js";
import { type Seen, watchHands } from "../watch.js";
import { type Advice, CAPTURES_PER_HAND, HandCaptures } from "./captures.js";
import { setText, showStep } from "./steps.js";

const STEADY_MS = 250;
/** So that a person sees that the last picture was taken. */
const WHOLE_SHOWN_MS = 1_200;
const NAMES: Record<HandSide, string> = { RIGHT: "right", LEFT: "left" };
const OTHER: Record<HandSide, HandSide> = { RIGHT: "LEFT", LEFT: "RIGHT" };

export interface HandParts {
  sight: Sight;
  texts: Texts;
}

/**
 * Photographs one hand.
 * @param maySkip whether the person may go on without this hand
 * @returns its captures, or none when it was skipped
 */
export async function photograph(
  side: HandSide,
  { sight, texts }: HandParts,
  { progress, maySkip }: { progress: string; maySkip: boolean },
): Promise<HandCaptures> {
  const stop = new AbortController();
  const captures = new HandCaptures(side);
  const stage = new HandStage(captures, texts);
  setText("hand-title", `Your ${NAMES[side]} hand`);
  showStep("hand", progress);
  const skip = element("skip", HTMLButtonElement);
  skip.hidden = !maySkip;
  skip.textContent = `Go on without the ${NAMES[side]} hand`;
  skip.onclick = () => {
    captures.clear();
    stop.abort();
  };
  const camera = new Camera({
    video: element("video", HTMLVideoElement),
    facing: "user",
    onState: (state) => {
      if (state.kind === "on") sight.forget();
      stage.camera(state);
    },
  });
  element("turn", HTMLButtonElement).onclick = () =>
    void camera.open(camera.facing === "user" ? "environment" : "user");
  const see = (seen: Seen) => {
    if (stage.see(seen) !== "WHOLE") return;
    skip.hidden = true;
    setTimeout(() => stop.abort(), WHOLE_SHOWN_MS);
  };
  try {
    await camera.open();
    await watchHands({ camera, sight, onSeen: see, signal: stop.signal });
  } finally {
    camera.close();
    stage.close();
  }
  return captures;
}

/** What the person sees of it. */
class HandStage {
  readonly #captures: HandCaptures;
  readonly #texts: Texts;
  readonly #overlay = new HandOverlay(element("overlay", HTMLCanvasElement));
  readonly #advice = new Steady<Advice>("NO_HAND", STEADY_MS);
  #isOver = false;

  constructor(captures: HandCaptures, texts: Texts) {
    this.#captures = captures;
    this.#texts = texts;
    element("picture", HTMLElement).dataset.side = captures.side;
    this.#show("NO_HAND");
  }

  see({ look, frame, atMs }: Seen): Advice | undefined {
    const hand = look.kind === "nothing" ? undefined : look.hand;
    this.#overlay.show(frame, hand, toneOf(look.kind));
    element("picture", HTMLElement).dataset.hand = String(hand !== undefined);
    if (this.#isOver) return undefined;
    const advice = this.#captures.see(look, atMs);
    // What has happened is said at once, what is wished for when it lasts.
    if (advice === "TAKEN" || advice === "WHOLE") this.#advice.set(advice);
    this.#isOver = advice === "WHOLE";
    this.#show(this.#advice.take(advice, atMs));
    return advice;
  }

  camera(state: CameraState): void {
    if (state.kind === "on") element("picture", HTMLElement).dataset.mirrored = String(state.mirrored);
    if (state.kind !== "problem") return;
    const { tone, headline, detail = "" } = cameraScene(state.problem);
    say(tone, headline, detail);
  }

  close(): void {
    this.#overlay.clear();
    document.body.dataset.tone = "idle";
  }

  #show(advice: Advice): void {
    const taken = this.#captures.taken.length;
    const dots = Array.from({ length: CAPTURES_PER_HAND }, (_, index) => dot(index, index < taken));
    element("pictures", HTMLElement).replaceChildren(...dots);
    const { tone, headline, detail } = sceneOf(advice, this.#captures, this.#texts);
    say(tone, headline, detail);
  }
}

interface Scene {
  tone: string;
  headline: string;
  detail: string;
}

function sceneOf(advice: Advice, { side, taken }: HandCaptures, texts: Texts): Scene {
  const count = `Picture ${Math.min(taken.length + 1, CAPTURES_PER_HAND)} of ${CAPTURES_PER_HAND}`;
  switch (advice) {
    case "WHOLE":
      return { tone: "granted", headline: "Thank you", detail: `Your ${NAMES[side]} hand is done` };
    case "TAKEN": {
      const detail = `${taken.length} of ${CAPTURES_PER_HAND}. Now move your hand a little`;
      return { tone: "taken", headline: "Good", detail };
    }
    case "HOLD":
      return { tone: "working", headline: "Hold still", detail: count };
    case "OTHER_HAND": {
      const detail = `This looks like your ${NAMES[OTHER[side]]} hand`;
      return { tone: "guide", headline: `Your ${NAMES[side]} hand, please`, detail };
    }
    case "NO_HAND": {
      const detail = `${count}: the palm, fingers apart`;
      return { tone: "ready", headline: "Hold your hand up to the camera", detail };
    }
    default:
      return { tone: "guide", headline: texts.display(`guide.${advice.toLowerCase()}`), detail: count };
  }
}

function dot(index: number, isTaken: boolean): HTMLElement {
  const one = document.createElement("li");
  one.dataset.taken = String(isTaken);
  one.textContent = String(index + 1);
  return one;
}

function say(tone: string, headline: string, detail: string): void {
  document.body.dataset.tone = tone;
  setText("headline", headline);
  setText("detail", detail);
}

function toneOf(kind: Seen["look"]["kind"]): HandTone {
  if (kind === "palm") return "good";
  return kind === "guide" ? "guide" : "waiting";
}
