// POST /api/erasures: a member who enrolled themselves asks to be forgotten, by the authority that the enrolment gave.
//
// Invariants:
// - the authority is an HMAC of the member's id under a key derived from the site's master key: it is stored nowhere,
//   nobody can make one for somebody else, and it still fetches the receipt when the data key is gone;
// - it erases that one member and does nothing else; a wrong one learns nothing about who exists.
import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { type Answer, refuse } from "../api/answer.js";
import type { Eraser } from "../api/erase.js";
import { parseBody } from "./body.js";

const KEY_BYTES = 32;
const PURPOSE = "palmgate-forget-me";

const question = z.object({ memberId: z.string(), authority: z.string() });

/** Makes and checks authorities. @param masterKey the site's, the same in every gateway */
export function forgetAuthority(masterKey: Uint8Array) {
  const key = new Uint8Array(hkdfSync("sha256", masterKey, "", PURPOSE, KEY_BYTES));
  const mac = (memberHex: string) => createHmac("sha256", key).update(memberHex).digest();
  return {
    of: (memberHex: string): string => mac(memberHex).toString("base64url"),
    holds: (memberHex: string, authority: string): boolean => {
      const given = Buffer.from(authority, "base64url");
      const wanted = mac(memberHex);
      return given.length === wanted.length && timingSafeEqual(given, wanted);
    },
  };
}

export type ForgetAuthority = ReturnType<typeof forgetAuthority>;

export async function forgetMember(
  { authorities, erasures }: { authorities: ForgetAuthority; erasures: Pick<Eraser, "erase"> },
  body: Buffer,
): Promise<Answer> {
  const parsed = parseBody(question, body, ["memberId", "authority"]);
  if (!parsed.ok) return parsed.refused;
  const { memberId, authority } = parsed.value;
  if (!authorities.holds(memberId, authority)) {
    return refuse("AUTHORITY_WRONG", "This is not the authority that the enrolment gave for this member.");
  }
  return erasures.erase(memberId, "member");
}
