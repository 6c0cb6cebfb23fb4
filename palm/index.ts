// The biometrics, pure: pixels in, quality and signature out. Knows no network and no storage.

export {
  type Calibration,
  type CalibrationPoint,
  type CalibrationTail,
  fmrAt,
  loadCalibration,
  tailThreshold,
  thresholdFor,
} from "./calibration.js";
export { PROBE_CODE_WORDS } from "./codes/layout.js";
export {
  COMPETITIVE_CODE_SIDE,
  type CompetitiveCode,
  competitiveCode,
  competitiveDistance,
  MAX_SHIFT_CELLS,
} from "./competitive-code.js";
export { type DecodeResult, decodeImage, type Encoding } from "./decode-image.js";
export type { HandImage } from "./hand/index.js";
export { SightThread } from "./hand/node-sight.js";
export type { GreyImage } from "./image.js";
export { PROBE_LINES_WORDS } from "./lines/frames.js";
export { type ModelInfo, modelInfo } from "./model-file.js";
export { assessQuality, QUALITY_FLOOR, type Quality, type QualityReason } from "./quality.js";
export {
  dot,
  type Signature,
  similarities,
  similarity,
  templateCopyOf,
  templateOf,
  wipe,
} from "./signature.js";
export { openSignatureModel, type SignatureModel } from "./signature-model.js";
export { SignerPool, type SignerPoolOptions, type SignJob, type SignResult } from "./signer-pool.js";
export { openShells } from "./synthetic/hand/node-shells.js";
export { renderHand } from "./synthetic/hand/render.js";
export type { HandShell } from "./synthetic/hand/shell.js";
export { type PalmIdentity, synthesiseIdentity } from "./synthetic/identity.js";
export { GUIDED_HAND, renderSample, type SampleOptions, type Variation } from "./synthetic/render.js";
