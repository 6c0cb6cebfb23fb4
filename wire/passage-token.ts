// The token that a granted decision carries: it opens one passage once, and any gateway of the fleet can check it.
//
// Invariants:
// - a token is good for the organisation, device and presentation that it was made for, and for nothing else;
// - it is good at every gateway, also at one that was not there when it was made: nothing is remembered;
// - the comparison takes the same time whatever is wrong.
import { createHmac, timingSafeEqual } from "node:crypto";
import { PASSAGE_TOKEN_BYTES } from "./limits.js";
import { aadOf } from "./seal.js";

const TIME_BYTES = 8;

export interface PassagePlace {
  organisation: string;
  deviceId: string;
  /** 16 bytes */
  presentationId: Uint8Array;
}

/**
 * @param key keyring.busKey("passage", organisation)
 * @returns 24 bytes: the time (big-endian), then the first 16 bytes of an HMAC-SHA256 over place and time
 */
export function passageToken(key: Uint8Array, place: PassagePlace & { atUnixMs: number }): Uint8Array {
  const token = new Uint8Array(PASSAGE_TOKEN_BYTES);
  new DataView(token.buffer).setBigUint64(0, BigInt(place.atUnixMs));
  token.set(macOf(key, place, token.subarray(0, TIME_BYTES)), TIME_BYTES);
  return token;
}

/** When the token was made (log's clock), or `undefined` when it was not made for this place. */
export function readPassageToken(
  key: Uint8Array,
  place: PassagePlace,
  token: Uint8Array,
): number | undefined {
  if (token.length !== PASSAGE_TOKEN_BYTES) return undefined;
  const time = token.subarray(0, TIME_BYTES);
  if (!timingSafeEqual(macOf(key, place, time), token.subarray(TIME_BYTES))) return undefined;
  return Number(new DataView(time.buffer, time.byteOffset).getBigUint64(0));
}

function macOf(
  key: Uint8Array,
  { organisation, deviceId, presentationId }: PassagePlace,
  time: Uint8Array,
): Uint8Array {
  const said = aadOf("palmgate-passage", [organisation, deviceId, presentationId, time]);
  return createHmac("sha256", key)
    .update(said)
    .digest()
    .subarray(0, PASSAGE_TOKEN_BYTES - TIME_BYTES);
}
