// What the page and its sight worker say to each other. Both come from one build, so neither checks the other.
import type { HandImage, Look } from "../palm/hand/index.js";

export type SightQuestion =
  | { kind: "open" }
  | { kind: "look"; image: HandImage; nowMs: number }
  | { kind: "forget" };

export type SightAnswer = { kind: "opened" } | { kind: "look"; look: Look } | { kind: "failed"; why: string };
