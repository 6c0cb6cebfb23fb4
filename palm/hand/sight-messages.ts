// What the sight thread and its owner say to each other.
import type { Look } from "./sight.js";
import type { HandImage } from "./types.js";

export type ToSight =
  /** nowMs undefined: an image that stands for itself. */
  { kind: "look"; image: HandImage; nowMs: number | undefined } | { kind: "forget" } | { kind: "stop" };

export type FromSight = { kind: "ready" } | { kind: "look"; look: Look } | { kind: "failed"; why: string };
