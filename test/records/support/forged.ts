// What somebody with the password of the log, and without any key of ours, could write into it.
import { bus, encode } from "../../../wire/codec.js";
import { aadOf, newSealKey, seal } from "../../../wire/seal.js";

/** A key in the clear in a field of its own, no key at all, and one wrapped under a key of the forger's. */
export function unwrappedKeyEvents(memberId: Uint8Array, key: Uint8Array): Uint8Array[] {
  const head = Uint8Array.of(0x0a, memberId.length, ...memberId);
  const own = seal(newSealKey(), aadOf("palmgate-data-key", ["anything"]), key);
  return [
    Uint8Array.of(...head, 0x7a, key.length, ...key),
    head,
    encode(bus.DataKey, { memberId, wrapped: { keyId: "00".repeat(8), sealed: own } }),
  ];
}
