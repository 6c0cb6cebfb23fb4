// The code of a pass: what a person reads aloud or finds in a link. Pure.
//
// Ten letters of Crockford's base32 (no I, L, O, U): 50 bits that nobody can tell without the fleet's key. With the bounded
// number of wrong tries of an address (passes.ts) and of passes, a thousand addresses that guess all day long find one in
// a hundred years.
import { createHmac } from "node:crypto";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_CHARS = 10;
const GROUP_CHARS = 5;
/** A code with separators, and nothing longer, is looked at. */
const MAX_TYPED_CHARS = 32;
const CODE_PATTERN = new RegExp(`^[${ALPHABET}]{${CODE_CHARS}}$`);

/**
 * The code of one order: asked again for the same, it is the same code, and is stored nowhere.
 * 32 letters divide 256, so every letter is as likely as any other.
 * @param key 32 bytes @param order names the order, of its organisation
 */
export function passCodeOf(key: Uint8Array, order: string): string {
  const bytes = createHmac("sha256", key).update(`code\0${order}`).digest().subarray(0, CODE_CHARS);
  return Array.from(bytes, (byte) => ALPHABET[byte % ALPHABET.length] ?? "").join("");
}

/** In groups, as people read it. */
export const shownPassCode = (code: string): string =>
  `${code.slice(0, GROUP_CHARS)}-${code.slice(GROUP_CHARS)}`;

/** The code that was meant: small letters, separators, O for 0 and I or L for 1 are forgiven. `undefined`: none. */
export function readPassCode(typed: string): string | undefined {
  if (typed.length > MAX_TYPED_CHARS) return undefined;
  const code = typed.toUpperCase().replaceAll(/[\s-]/g, "").replaceAll("O", "0").replaceAll(/[IL]/g, "1");
  return CODE_PATTERN.test(code) ? code : undefined;
}
