// What an enrolment is to do, sealed: it lies in the log until it is decided, and must leave no trace after that.
//
// Invariants:
// - it is sealed under a key of its own, that one under the organisation's, both bound to organisation and request;
// - the plain bytes are overwritten as soon as they are sealed, or when close() is called.
import { bus, decode, encode } from "../wire/codec.js";
import type { Keyring } from "../wire/keyring.js";
import { MAX_TEMPLATES_PER_MEMBER } from "../wire/limits.js";
import { aadOf, newSealKey, open, seal } from "../wire/seal.js";

export interface EnrolPlace {
  organisation: string;
  /** Of the saga. */
  id: string;
}

export interface OpenedIntent {
  plain: bus.EnrolPlain;
  /** Overwrites the plain bytes. */
  close(): void;
}

/** `undefined`: the organisation has no key here. */
export function sealEnrolIntent(
  keyring: Pick<Keyring, "wrap">,
  place: EnrolPlace,
  intent: bus.EnrolPlain.$Properties,
): Uint8Array | undefined {
  const key = newSealKey();
  const plain = encode(bus.EnrolPlain, intent);
  try {
    const aad = aadOfIntent(place);
    const wrapped = keyring.wrap(place.organisation, aad, key);
    if (wrapped === undefined) return undefined;
    return encode(bus.EnrolIntent, { key: wrapped, plain: seal(key, aad, plain) });
  } finally {
    plain.fill(0);
    key.fill(0);
  }
}

/** `undefined`: it does not open here, or is none. */
export function openEnrolIntent(
  keyring: Pick<Keyring, "unwrap">,
  place: EnrolPlace,
  intent: Uint8Array,
): OpenedIntent | undefined {
  const aad = aadOfIntent(place);
  const message = decode(bus.EnrolIntent, intent);
  const key = message && keyring.unwrap(place.organisation, aad, message.key);
  const bytes = key && open(key, aad, message.plain);
  key?.fill(0);
  if (bytes === undefined) return undefined;
  const plain = decode(bus.EnrolPlain, bytes);
  const count = plain?.captures.length ?? 0;
  if (plain === undefined || count < 1 || count > MAX_TEMPLATES_PER_MEMBER) {
    bytes.fill(0);
    return undefined;
  }
  // Decoded bytes are views on these.
  return { plain, close: () => bytes.fill(0) };
}

const aadOfIntent = ({ organisation, id }: EnrolPlace) => aadOf("palmgate-enrol-intent", [organisation, id]);
