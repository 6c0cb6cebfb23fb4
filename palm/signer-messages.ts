// What the pool and its threads say to each other.
import type { Encoding } from "./decode-image.js";
import type { Quality } from "./quality.js";
import type { Signature } from "./signature.js";

export type ToSigner =
  | { kind: "sign"; encoding: Encoding; width: number; height: number; pixels: ArrayBuffer }
  | { kind: "stop" };

export type FromSigner =
  | { kind: "ready" }
  | { kind: "signed"; signature: Signature; quality: Quality; signMs: number }
  | { kind: "refused"; code: "BAD_IMAGE" | "TOO_LARGE"; detail: string };
