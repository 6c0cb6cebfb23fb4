// What a Frame must be before anything is spent on it. Pure; says the code it is refused with, or nothing.

import { holdsCardNumber } from "../../wire/card-number.js";
import { edge } from "../../wire/codec.js";
import type { LinkCode } from "../../wire/errors.js";
import {
  MAX_AMOUNT_MINOR,
  MAX_IMAGE_SIDE_PX,
  MIN_IMAGE_SIDE_PX,
  PRESENTATION_ID_BYTES,
} from "../../wire/limits.js";
import type { Charge } from "../purposes/purpose.js";

const CURRENCY_PATTERN = /^[A-Z]{3}$/;
const MAX_ORDER_REF_BYTES = 64;

export const ENCODING_NAMES = {
  [edge.Encoding.GRAY8]: "GRAY8",
  [edge.Encoding.JPEG]: "JPEG",
  [edge.Encoding.PNG]: "PNG",
} as const satisfies Partial<Record<edge.Encoding, string>>;

export type EncodingName = (typeof ENCODING_NAMES)[keyof typeof ENCODING_NAMES];

export const encodingName = (encoding: edge.Encoding): EncodingName | undefined =>
  (ENCODING_NAMES as Partial<Record<edge.Encoding, EncodingName>>)[encoding];

/** Checks everything about a frame that needs no memory of earlier frames. */
export function refuseFrame(frame: edge.Frame): LinkCode | undefined {
  if (frame.presentationId.length !== PRESENTATION_ID_BYTES) return "BAD_PRESENTATION";
  if (frame.stage !== edge.Stage.ROI) return "STAGE_UNSUPPORTED";
  if (!sideAllowed(frame.widthPx) || !sideAllowed(frame.heightPx)) return "IMAGE_TOO_LARGE";
  if (frame.modality !== edge.Modality.VISIBLE && frame.modality !== edge.Modality.NIR) return "BAD_IMAGE";
  if (encodingName(frame.encoding) === undefined || frame.image.length === 0) return "BAD_IMAGE";
  if (frame.encoding === edge.Encoding.GRAY8 && frame.image.length !== frame.widthPx * frame.heightPx) {
    return "BAD_IMAGE";
  }
  return undefined;
}

const sideAllowed = (px: number) => px >= MIN_IMAGE_SIDE_PX && px <= MAX_IMAGE_SIDE_PX;

/**
 * The charge of a frame, checked against what the lane is for and the charge of the presentation so far.
 * @param charges whether the lane's purpose charges anybody
 * @param known `undefined` on the first frame
 */
export function admitCharge(
  charge: edge.ICharge | null | undefined,
  charges: boolean,
  known: { charge: Charge | undefined } | undefined,
): { ok: true; charge: Charge | undefined } | { ok: false } {
  if (charge === null || charge === undefined) {
    if (known !== undefined) return { ok: true, charge: known.charge };
    return charges ? { ok: false } : { ok: true, charge: undefined };
  }
  const given: Charge = {
    amountMinor: charge.amountMinor ?? 0,
    currency: charge.currency ?? "",
    orderRef: charge.orderRef ?? "",
  };
  if (!charges || !chargeAllowed(given)) return { ok: false };
  if (known !== undefined && !sameCharge(given, known.charge)) return { ok: false };
  return { ok: true, charge: given };
}

const chargeAllowed = ({ amountMinor, currency, orderRef }: Charge) =>
  Number.isInteger(amountMinor) &&
  amountMinor >= 1 &&
  amountMinor <= MAX_AMOUNT_MINOR &&
  CURRENCY_PATTERN.test(currency) &&
  Buffer.byteLength(orderRef) <= MAX_ORDER_REF_BYTES &&
  !holdsCardNumber(orderRef);

const sameCharge = (a: Charge, b: Charge | undefined) =>
  a.amountMinor === b?.amountMinor && a.currency === b.currency && a.orderRef === b.orderRef;
