// What a matcher tells of a member (bus.MemberFacts), sealed to the request that asked for it.
//
// Invariants:
// - facts open only with the key of their organisation, the nonce of their request and the member they are said to be
//   of: an old answer, another organisation's, or another member's is nothing;
// - facts that name another member inside than outside are nothing.
import { bus, decode, encode } from "./codec.js";
import { toHex } from "./hex.js";
import { MEMBER_ID_BYTES } from "./limits.js";
import { aadOf, type MaybeSealed, open, type SealedBytes, seal } from "./seal.js";

export const FACTS_NONCE_BYTES = 16;

/** @param key keyring.busKey("facts", organisation) @param nonce the request's 16 bytes */
export function sealFacts(
  key: Uint8Array,
  nonce: Uint8Array,
  facts: bus.MemberFacts.$Properties,
): SealedBytes {
  const plain = encode(bus.MemberFacts, facts);
  const sealed = seal(key, factsAad(nonce, facts.memberId ?? new Uint8Array()), plain);
  plain.fill(0);
  return sealed;
}

/** @param memberId whom the answer says it is about */
export function openFacts(
  key: Uint8Array,
  nonce: Uint8Array,
  memberId: Uint8Array,
  sealed: MaybeSealed,
): bus.MemberFacts | undefined {
  const plain = open(key, factsAad(nonce, memberId), sealed);
  const facts = plain && decode(bus.MemberFacts, plain);
  if (facts?.memberId.length !== MEMBER_ID_BYTES || toHex(facts.memberId) !== toHex(memberId))
    return undefined;
  return facts;
}

const factsAad = (nonce: Uint8Array, memberId: Uint8Array) => aadOf("palmgate-facts", [nonce, memberId]);
