// The lane at work in this page: what the camera sees becomes guidance, presentations and their ends on the screen.
//
// Invariants:
// - one presentation at a time; its gate is this screen, and it opens only while somebody can see it;
// - the end of a presentation is shown until the visit may go on (edge-agent/camera/visit.ts), and END_SHOWN_MS at least;
// - guidance does not flicker: it must hold for STEADY_MS before it is shown.
import { mayTryAgain } from "../../edge-agent/again.js";
import type { Charge } from "../../edge-agent/attempt.js";
import { BestCrops } from "../../edge-agent/best-crops.js";
import { Visit } from "../../edge-agent/camera/visit.js";
import type { Gate } from "../../edge-agent/gate.js";
import type { Agent } from "../../edge-agent/lane-agent.js";
import { type Guidance, guidanceOf, type Look } from "../../palm/hand/index.js";
import { HandOverlay, type Tone } from "../hand-overlay.js";
import { Steady } from "../steady.js";
import type { Texts } from "../texts.js";
import type { Seen } from "../watch.js";
import { CONNECTING, endScene, guideScene, HOLD, progressScene, readyScene, WORKING } from "./scenes.js";
import type { Scene, Screen } from "./screen.js";

const STEADY_MS = 250;
const END_SHOWN_MS = 2_000;
/** A person does not hold a hand out for longer. Once it is known and only the money is awaited, the gateway says how long. */
const PRESENTATION_DEADLINE_MS = 4_000;

/** The gate is the screen: what it shows opens nothing that nobody sees. */
export const screenGate: Gate = {
  open: async () => (document.hidden ? { ok: false, why: "the page is hidden" } : { ok: true }),
};

/** HOLD: the palm is good, its crops are being collected. */
type Advice = Guidance | "HOLD";

export interface LaneParts {
  agent: Agent;
  screen: Screen;
  texts: Texts;
  /** What the next palm pays; undefined: this lane takes no payments. */
  till: { text: string; nextCharge(): Charge } | undefined;
}

export class BrowserLane {
  readonly #parts: LaneParts;
  readonly #overlay: HandOverlay;
  readonly #crops = new BestCrops();
  readonly #visit = new Visit(this.#crops);
  readonly #guidance = new Steady<Advice>("NO_HAND", STEADY_MS);
  #away: Scene = CONNECTING;
  #isPresenting = false;
  /** On the clock of performance.now(). */
  #endShownUntilMs = Number.NEGATIVE_INFINITY;

  constructor(parts: LaneParts) {
    this.#parts = parts;
    this.#overlay = new HandOverlay(parts.screen.overlay);
  }

  see({ look, frame, atMs, lookMs }: Seen): void {
    const { screen } = this.#parts;
    const hand = look.kind === "nothing" ? undefined : look.hand;
    const isReady = this.#visit.see(look, atMs);
    this.#overlay.show(frame, hand, toneOf(look.kind));
    screen.hand(hand !== undefined);
    screen.fact("Each look", `${Math.round(lookMs)} ms`);
    if (this.#isPresenting) return;
    if (isReady) void this.#present();
    else if (!this.#visit.isOver && atMs >= this.#endShownUntilMs) this.#guide(adviceOn(look), atMs);
  }

  /** Shows again what was last advised: the link, the camera or the amount has changed. An end stays as long as it may. */
  refresh(): void {
    const nowMs = performance.now();
    if (this.#isPresenting || this.#visit.isOver || nowMs < this.#endShownUntilMs) return;
    this.#guide(this.#guidance.shown, nowMs);
  }

  /** The link is gone. @param scene why, until it is open again */
  linkLost(scene: Scene): void {
    this.#away = scene;
    this.#parts.screen.show(scene);
  }

  #guide(advice: Advice, atMs: number): void {
    const { agent, screen, texts, till } = this.#parts;
    const shown = this.#guidance.take(advice, atMs);
    if (agent.state().phase !== "open") screen.show(this.#away);
    else if (shown === "HOLD") screen.show(HOLD);
    else if (shown === "NO_HAND") screen.show(readyScene(texts, till?.text));
    else screen.show(guideScene(texts, shown));
  }

  async #present(): Promise<void> {
    const { agent, screen, texts, till } = this.#parts;
    this.#isPresenting = true;
    this.#visit.begin();
    screen.show(WORKING);
    const charge = till?.nextCharge();
    const palm = this.#crops.palm("camera");
    const end = await agent.present(palm, {
      charge,
      deadlineMs: PRESENTATION_DEADLINE_MS,
      onProgress: (progress) => screen.show(progressScene(texts, progress)),
    });
    const nowMs = performance.now();
    this.#isPresenting = false;
    this.#visit.ended(mayTryAgain(end, charge), nowMs);
    this.#endShownUntilMs = nowMs + END_SHOWN_MS;
    this.#guidance.set("NO_HAND");
    screen.show(endScene(texts, end));
    if (end.kind === "decision") screen.fact("Answered in", `${Math.round(end.roundTripMs)} ms`);
  }
}

function adviceOn(look: Look): Advice {
  if (look.kind === "palm") return "HOLD";
  return look.kind === "guide" ? look.reason : guidanceOf(look.reason);
}

function toneOf(kind: Seen["look"]["kind"]): Tone {
  if (kind === "palm") return "good";
  return kind === "guide" ? "guide" : "waiting";
}
