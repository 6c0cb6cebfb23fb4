// A member's pseudonym at one site.
//
// Invariants:
// - it is the same whenever the member comes to that site, differs from site to site, and tells nothing of the other;
// - it is made of a root that dies with the member's data key: nobody can say afterwards whose it was.
import { createHmac } from "node:crypto";
import { toHex } from "./hex.js";

const PREFIX = "pairwise\0";
const BYTES = 10;
const BASE32_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";
const BASE32_BITS = 5;

/**
 * Base32 of the first 10 bytes of HMAC-SHA256(root, "pairwise\0" | site).
 * @param root MemberFacts.pairwise_root, 32 bytes
 * @returns 16 of [a-z2-7]
 */
export function pairwiseId(root: Uint8Array, site: string): string {
  const mac = createHmac("sha256", root).update(PREFIX).update(site).digest();
  let bits = BigInt(`0x${toHex(mac.subarray(0, BYTES))}`);
  let id = "";
  for (let left = (BYTES * 8) / BASE32_BITS; left > 0; left--) {
    id = (BASE32_ALPHABET[Number(bits & 31n)] ?? "") + id;
    bits >>= 5n;
  }
  return id;
}
