// The beat: once a second a ledger writes into stream MEMBERS what time it is, signed. Whoever has applied a beat has
// applied all that came before it, and knows how late it is in the log.
//
// Invariant: what does not carry the fleet's MAC over all its fields is no beat.
import { createHmac, timingSafeEqual } from "node:crypto";
import { bus, decode, encode } from "./codec.js";
import type { Keyring } from "./keyring.js";
import { aadOf } from "./seal.js";

export interface Beat {
  /** The log's clock. */
  atUnixMs: number;
  /** Who leads, as a hint. */
  ledgerId: string;
  /** Of MEMBERS, as the author knew it. */
  headSequence: number;
}

/** The body of a beat's event. */
export function encodeBeat(keyring: Pick<Keyring, "busKey">, beat: Beat): Uint8Array {
  return encode(bus.Beat, { ...beat, mac: macOf(keyring, beat) });
}

/** `undefined`: the bytes are no beat of this fleet. */
export function readBeat(keyring: Pick<Keyring, "busKey">, body: Uint8Array): Beat | undefined {
  const message = decode(bus.Beat, body);
  if (message === undefined) return undefined;
  const { atUnixMs, ledgerId, headSequence, mac } = message;
  const expected = macOf(keyring, { atUnixMs, ledgerId, headSequence });
  if (mac.length !== expected.length || !timingSafeEqual(mac, expected)) return undefined;
  return { atUnixMs, ledgerId, headSequence };
}

function macOf(keyring: Pick<Keyring, "busKey">, { atUnixMs, ledgerId, headSequence }: Beat): Uint8Array {
  const said = aadOf("palmgate-beat", [String(atUnixMs), ledgerId, String(headSequence)]);
  return createHmac("sha256", keyring.busKey("beat", "")).update(said).digest();
}
