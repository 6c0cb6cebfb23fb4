// What the lane says when: the ends of presentations, guidance, and what it waits for, as scenes. Pure.
import type { PresentationEnd } from "../../edge-agent/lane-agent.js";
import type { Guidance } from "../../palm/hand/index.js";
import { edge } from "../../wire/edge-codec.js";
import type { Texts } from "../texts.js";
import { amountText } from "./money.js";
import type { Scene } from "./screen.js";

/** Characters of a pseudonym that a person can compare at a glance. */
const SHORT_ID_LENGTH = 6;

export const WORKING: Scene = { tone: "working", headline: "One moment" };
export const HOLD: Scene = { tone: "working", headline: "Hold still" };
export const LOADING: Scene = { tone: "idle", headline: "Getting ready", detail: "Loading the palm reader" };

/** Shown as long as no palm can be decided about. */
export const CONNECTING: Scene = {
  tone: "idle",
  headline: "One moment",
  detail: "Connecting to the gateway",
};

/** A lane that takes payments looks at no palm before somebody has said what is to pay. */
export const ASK_AMOUNT: Scene = {
  tone: "idle",
  headline: "What is to pay?",
  detail: "Enter the amount below",
};

/** @param amount what the next palm pays; undefined on a lane that takes no payments */
export function readyScene(texts: Texts, amount: string | undefined): Scene {
  const detail = amount === undefined ? "" : `To pay ${amount}`;
  return { tone: "ready", headline: texts.display("guide.no_hand"), detail };
}

export function guideScene(texts: Texts, reason: Guidance): Scene {
  return { tone: "guide", headline: texts.display(`guide.${reason.toLowerCase()}`) };
}

/** The person is known, the money is awaited: the hand may go. */
export function progressScene(texts: Texts, { displayKey }: edge.Progress.$Properties): Scene {
  return { ...WORKING, headline: texts.display(displayKey ?? "", WORKING.headline) };
}

export function endScene(texts: Texts, end: PresentationEnd): Scene {
  if (end.kind !== "decision") return openEnd(texts, end);
  const { granted, outcome, displayKey } = end.decision;
  const headline = texts.display(displayKey ?? "", texts.display("decision.one_moment"));
  if (granted && end.passage === edge.Passage.OPENED) {
    return { tone: "granted", headline, detail: grantedDetail(end.decision) };
  }
  if (granted) return { tone: "again", headline: texts.display("decision.one_moment") };
  const isFinal = outcome === edge.Outcome.MATCH || outcome === edge.Outcome.NO_MATCH;
  return { tone: isFinal ? "refused" : "again", headline };
}

/** First use shows who one is here: the pseudonym of this site, of which no other site knows. */
function grantedDetail({ pairwiseId, payment }: edge.Decision.$Properties): string {
  const who = pairwiseId ? `You are ${pairwiseId.slice(0, SHORT_ID_LENGTH)} here` : "";
  if (!payment) return who;
  const { amountMinor, currency, brand, last4 } = payment;
  return `${amountText(amountMinor ?? 0)} ${currency ?? ""}, ${brand ?? "card"} ending in ${last4 ?? ""}`;
}

/** No decision came: nobody was refused, and nobody may pass. */
function openEnd(texts: Texts, end: Exclude<PresentationEnd, { kind: "decision" }>): Scene {
  const headline = texts.display("decision.one_moment");
  if (end.kind === "lost") return { tone: "again", headline, detail: "The gateway cannot be reached" };
  return { tone: "again", headline, detail: end.code === "BUSY" ? "Many people are here just now" : "" };
}
