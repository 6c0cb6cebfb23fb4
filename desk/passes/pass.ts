// What a pass is and when it may be used. Pure.
//
// Invariants (test/desk/passes.test.ts): a use is taken only from a pass of the right kind, in time, with a use left; one
// request takes one use, however often it is sent; a use that was taken in vain is given back at most `returnsLeft` times,
// so that a pass bounds the attempts too.
import { bus, decode, edge, encode } from "../../wire/codec.js";
import type { LanePurpose } from "../../wire/directory.js";
import { fromHex, toHex } from "../../wire/hex.js";

interface Common {
  organisation: string;
  gallery: string;
  /** LANE: where the device stands. ENROL: whose pseudonym the member is told. */
  site: string;
  expiresAtUnixMs: number;
  usesLeft: number;
  returnsLeft: number;
  /** Hex, 16 bytes each: requests that a use was taken for, the latest last. */
  takenFor: readonly string[];
  /** Hex: of what was ordered. */
  orderSha256: string;
}

export interface LanePass extends Common {
  kind: "LANE";
  purpose: LanePurpose;
}

export interface EnrolPass extends Common {
  kind: "ENROL";
  /** That may be given. */
  consents: readonly LanePurpose[];
}

/** Requests that are remembered: whoever asks again does so soon. */
const MAX_TAKEN_FOR = 16;

export type Pass = LanePass | EnrolPass;
export type PassKind = Pass["kind"];
export type PassOf<K extends PassKind> = Extract<Pass, { kind: K }>;

export type Unusable = "PASS_WRONG_KIND" | "PASS_EXPIRED" | "PASS_USED";

/** Why the pass may not be used for that now; `undefined`: it may. */
export function unusable(pass: Pass, kind: PassKind, nowUnixMs: number): Unusable | undefined {
  if (pass.kind !== kind) return "PASS_WRONG_KIND";
  if (nowUnixMs >= pass.expiresAtUnixMs) return "PASS_EXPIRED";
  return pass.usesLeft < 1 ? "PASS_USED" : undefined;
}

export const isOfKind = <K extends PassKind>(pass: Pass, kind: K): pass is PassOf<K> => pass.kind === kind;

/** Whether a use was taken for this request before. */
export const isTakenFor = (pass: Pass, request: string): boolean => pass.takenFor.includes(request);

export const withUseTaken = (pass: Pass, request: string): Pass => ({
  ...pass,
  usesLeft: pass.usesLeft - 1,
  takenFor: [...pass.takenFor, request].slice(-MAX_TAKEN_FOR),
});

export const withoutRequest = (pass: Pass, request: string): Pass => ({
  ...pass,
  takenFor: pass.takenFor.filter((each) => each !== request),
});

/** `undefined`: given back too often already, or none was taken for that request. */
export const withUseReturned = (pass: Pass, request: string): Pass | undefined =>
  pass.returnsLeft < 1 || !isTakenFor(pass, request)
    ? undefined
    : {
        ...withoutRequest(pass, request),
        usesLeft: pass.usesLeft + 1,
        returnsLeft: pass.returnsLeft - 1,
      };

export function encodePass(pass: Pass): Uint8Array {
  const { kind, organisation, gallery, site, expiresAtUnixMs, usesLeft, returnsLeft } = pass;
  const common = {
    organisation,
    gallery,
    site,
    expiresUnixMs: expiresAtUnixMs,
    usesLeft,
    returnsLeft,
    takenFor: pass.takenFor.map(fromHex),
    orderSha256: fromHex(pass.orderSha256),
  };
  return kind === "LANE"
    ? encode(bus.Pass, { ...common, kind: bus.PassKind.LANE, purpose: edge.Purpose[pass.purpose] })
    : encode(bus.Pass, {
        ...common,
        kind: bus.PassKind.ENROL,
        consents: pass.consents.map((purpose) => edge.Purpose[purpose]),
      });
}

/** `undefined`: these bytes are no pass. */
export function decodePass(bytes: Uint8Array): Pass | undefined {
  const message = decode(bus.Pass, bytes);
  if (!message) return undefined;
  const { organisation, gallery, site, expiresUnixMs: expiresAtUnixMs, usesLeft, returnsLeft } = message;
  const takenFor = message.takenFor.map(toHex);
  const orderSha256 = toHex(message.orderSha256);
  const common = {
    organisation,
    gallery,
    site,
    expiresAtUnixMs,
    usesLeft,
    returnsLeft,
    takenFor,
    orderSha256,
  };
  if (message.kind === bus.PassKind.ENROL) {
    const consents = message.consents.flatMap((number) => purposeOf(number) ?? []);
    return consents.length === message.consents.length ? { ...common, kind: "ENROL", consents } : undefined;
  }
  const purpose = purposeOf(message.purpose);
  return message.kind === bus.PassKind.LANE && purpose ? { ...common, kind: "LANE", purpose } : undefined;
}

/** A purpose's name from its number on the wire. */
export function purposeOf(number: number): LanePurpose | undefined {
  if (number === edge.Purpose.ENTRY) return "ENTRY";
  return number === edge.Purpose.PAY ? "PAY" : undefined;
}
