// What the lane shows: one tone of light, one sentence, one detail. Nothing is decided here.
//
// Invariant: everything is put in as text, never as markup; the same scene twice changes nothing, so that a screen
// reader speaks it once.
import { element } from "../dom.js";

/** Of the ring of light; each tone has a mark or a motion of its own beside its colour (stage.css). */
export type Tone = "idle" | "ready" | "guide" | "working" | "granted" | "refused" | "again";

export interface Scene {
  tone: Tone;
  headline: string;
  detail?: string;
}

export type LinkPhase = "open" | "connecting" | "away";

const LINK_WORDS: Record<LinkPhase, string> = {
  open: "Connected",
  connecting: "Connecting",
  away: "Not connected",
};

export class Screen {
  readonly stage = element("stage", HTMLElement);
  readonly picture = element("picture", HTMLElement);
  readonly video = element("video", HTMLVideoElement);
  readonly overlay = element("overlay", HTMLCanvasElement);
  readonly #turn = element("turn", HTMLButtonElement);
  readonly #unpair = element("unpair", HTMLButtonElement);
  readonly #headline = element("headline", HTMLElement);
  readonly #detail = element("detail", HTMLElement);
  readonly #link = element("link", HTMLElement);
  readonly #facts = element("facts", HTMLElement);
  #factsShown = new Map<string, string>();

  show({ tone, headline, detail = "" }: Scene): void {
    document.body.dataset.tone = tone;
    setText(this.#headline, headline);
    setText(this.#detail, detail);
  }

  link(phase: LinkPhase): void {
    this.#link.dataset.link = phase;
    setText(this.#link, LINK_WORDS[phase]);
  }

  /** One line of the footer; the same name again changes it. */
  fact(name: string, value: string): void {
    this.#factsShown.set(name, value);
    this.#facts.replaceChildren(...[...this.#factsShown].map(([term, text]) => factRow(term, text)));
  }

  onTurn(act: () => void): void {
    this.#turn.hidden = false;
    this.#turn.onclick = act;
  }

  onUnpair(act: () => void): void {
    this.#unpair.hidden = false;
    this.#unpair.onclick = act;
  }

  mirror(isMirrored: boolean): void {
    this.picture.dataset.mirrored = String(isMirrored);
  }

  /** Whether the outline that shows where to hold a hand is needed. */
  hand(isThere: boolean): void {
    this.picture.dataset.hand = String(isThere);
  }
}

function setText(target: HTMLElement, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}

function factRow(term: string, text: string): HTMLElement {
  const row = document.createElement("div");
  const dt = document.createElement("dt");
  const dd = document.createElement("dd");
  dt.textContent = term;
  dd.textContent = text;
  row.append(dt, dd);
  return row;
}
