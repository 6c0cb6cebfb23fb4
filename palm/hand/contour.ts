import type { FindResult, HandImage } from "./types.js";
export const contourHand = (_image: HandImage): FindResult => ({ ok: false, reason: "NO_HAND" });
