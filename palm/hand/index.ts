// Finding, cutting and judging palms in images of whole hands: what Node and browsers share. Knows no runtime; the
// networks come in as `HandNetworks`.
export { cutRoi } from "./cut.js";
export { HandFinder } from "./finder.js";
export { type Guidance, guidanceOf, type Judgement, judge } from "./judge.js";
export { HandSight, type Look } from "./sight.js";
export type {
  FindResult,
  FoundHand,
  HandImage,
  HandNetworks,
  HandSide,
  Network,
  NotFound,
  Point,
  Quad,
} from "./types.js";
