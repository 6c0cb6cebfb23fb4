// The body of POST /api/members, checked whole before anything is spent on it. Pure.
import type { Contact } from "../../records/index.js";
import { bus, decode, edge } from "../../wire/codec.js";
import {
  MAX_IMAGE_SIDE_PX,
  MAX_TEMPLATES_PER_MEMBER,
  MIN_IMAGE_SIDE_PX,
  NAME_PATTERN,
} from "../../wire/limits.js";
import { valueHoldsCardNumber } from "../payments/card-number.js";
import { type Refused, refuse } from "./answer.js";

export const ENCODINGS = { 1: "GRAY8", 2: "JPEG", 3: "PNG" } as const;
type EncodingNumber = keyof typeof ENCODINGS;
const isEncoding = (number: number): number is EncodingNumber => number in ENCODINGS;

/** Hand positions that a template may carry: 0 unknown, 1 right, 2 left. */
const MAX_POSITION = 2;
const PURPOSES: readonly number[] = [edge.Purpose.ENTRY, edge.Purpose.PAY];
const MODALITIES: readonly number[] = [edge.Modality.VISIBLE, edge.Modality.NIR];

export interface EnrolCapture {
  encoding: (typeof ENCODINGS)[EncodingNumber];
  width: number;
  height: number;
  position: number;
  /** A view on the body. */
  image: Uint8Array;
}

export interface Instrument {
  processor: string;
  token: string;
  brand: string;
  last4: string;
}

export interface EnrolOrder {
  gallery: string;
  captures: EnrolCapture[];
  consents: edge.Purpose[];
  instrument: Instrument | undefined;
  /** Of a person who enrolled themselves, likewise. */
  contact?: Contact;
  consentTextSha256?: Uint8Array;
}

export type Checked<T> = { ok: true; value: T } | { ok: false; refused: Refused };

export const bad = (message: string) => ({ ok: false, refused: refuse("BAD_REQUEST", message) }) as const;
export const cardNumberRefused = () =>
  ({
    ok: false,
    refused: refuse("CARD_NUMBER_REFUSED", "Something in the request looks like a card number."),
  }) as const;

/** @param body protobuf bytes of a bus.EnrolRequest */
export function parseEnrolRequest(body: Uint8Array): Checked<EnrolOrder> {
  const request = decode(bus.EnrolRequest, body);
  if (!request) return bad("The body is not a protobuf EnrolRequest.");
  const { gallery, captures, consents, instrument } = request;
  if (valueHoldsCardNumber({ gallery, instrument })) return cardNumberRefused();
  if (!NAME_PATTERN.test(gallery)) return bad("gallery must be 1 to 32 of a-z, 0-9 and -.");
  if (captures.length < 1 || captures.length > MAX_TEMPLATES_PER_MEMBER) {
    return bad(`captures must be 1 to ${MAX_TEMPLATES_PER_MEMBER}.`);
  }
  const checkedConsents = checkConsents(consents);
  if (!checkedConsents.ok) return checkedConsents;
  const checkedCaptures = checkCaptures(captures);
  if (!checkedCaptures.ok) return checkedCaptures;
  const checkedInstrument = instrument ? checkInstrument(instrument) : undefined;
  if (checkedInstrument && !checkedInstrument.ok) return checkedInstrument;
  if (consents.includes(edge.Purpose.PAY) && !checkedInstrument) {
    return bad("Consent to PAY needs an instrument.");
  }
  return {
    ok: true,
    value: {
      gallery,
      captures: checkedCaptures.value,
      consents: checkedConsents.value,
      instrument: checkedInstrument?.value,
    },
  };
}

/** At least one, each known, none twice. */
export function checkConsents(consents: readonly number[]): Checked<edge.Purpose[]> {
  if (consents.length === 0 || new Set(consents).size !== consents.length) {
    return bad("consents must name at least one purpose, each once.");
  }
  if (consents.some((each) => !PURPOSES.includes(each))) return bad("consents may hold ENTRY and PAY only.");
  return { ok: true, value: [...consents] };
}

/** Token, brand and last four digits; nothing else is ever stored of an instrument. */
export function checkInstrument(given: bus.IInstrument): Checked<Instrument> {
  const { processor, token, brand, last4 } = given;
  if (valueHoldsCardNumber({ processor, token, brand, last4 })) return cardNumberRefused();
  if (processor !== "sandbox") return bad("instrument.processor must be 'sandbox'.");
  if (!token || !/^[A-Za-z0-9_-]{1,128}$/.test(token)) {
    return bad("instrument.token must be 1 to 128 of A-Z, a-z, 0-9, _ and -.");
  }
  if (!brand || !/^[a-z0-9 -]{1,32}$/.test(brand)) {
    return bad("instrument.brand must be 1 to 32 of a-z, 0-9, space and -.");
  }
  if (!last4 || !/^\d{4}$/.test(last4)) return bad("instrument.last4 must be four digits.");
  return { ok: true, value: { processor, token, brand, last4 } };
}

export function checkCaptures(captures: readonly bus.ICapture[]): Checked<EnrolCapture[]> {
  const value: EnrolCapture[] = [];
  for (const [index, capture] of captures.entries()) {
    const checked = checkCapture(capture, index);
    if (!checked.ok) return checked;
    value.push(checked.value);
  }
  return { ok: true, value };
}

function checkCapture(capture: bus.ICapture, index: number): Checked<EnrolCapture> {
  const encoding = capture.encoding ?? 0;
  const width = capture.widthPx ?? 0;
  const height = capture.heightPx ?? 0;
  const modality = capture.modality ?? 0;
  const position = capture.position ?? 0;
  const image = capture.image ?? new Uint8Array();
  const where = `captures[${index}]`;
  if (!isEncoding(encoding)) return bad(`${where}.encoding must be 1 (GRAY8), 2 (JPEG) or 3 (PNG).`);
  if (!MODALITIES.includes(modality)) return bad(`${where}.modality must be 1 (VISIBLE) or 2 (NIR).`);
  if (position > MAX_POSITION) return bad(`${where}.position must be 0, 1 (right) or 2 (left).`);
  if ([width, height].some((side) => side < MIN_IMAGE_SIDE_PX || side > MAX_IMAGE_SIDE_PX)) {
    return bad(`${where} must have sides of ${MIN_IMAGE_SIDE_PX} to ${MAX_IMAGE_SIDE_PX} pixels.`);
  }
  if (image.length === 0 || (encoding === 1 && image.length !== width * height)) {
    return { ok: false, refused: refuse("BAD_IMAGE", `${where}.image does not have its declared size.`) };
  }
  return { ok: true, value: { encoding: ENCODINGS[encoding], width, height, position, image } };
}
