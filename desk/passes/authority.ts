// The authority that an enrolment gives to the person: with it, they are forgotten when they ask for it.
//
// Invariants (test/desk/passes.api.test.ts):
// - it is an HMAC of the organisation and the member's id under a key of the fleet: it is stored nowhere, nobody can make
//   one for somebody else, and it still fetches the receipt when data key and organisation are gone;
// - it erases that one member and does nothing else; a wrong one learns nothing about who exists.
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Keyring } from "../../wire/keyring.js";

const SEPARATOR = ".";

export interface Authorities {
  of(organisation: string, memberHex: string): string;
  /** The organisation whose member it is good for. `undefined`: it is not the authority of that member. */
  organisationOf(memberHex: string, authority: string): string | undefined;
}

export function openAuthorities(keyring: Pick<Keyring, "busKey">): Authorities {
  // One key for all: what a stranger names as an organisation makes no key that is remembered.
  const macOf = (organisation: string, memberHex: string) =>
    createHmac("sha256", keyring.busKey("forget-me", "")).update(`${organisation}\0${memberHex}`).digest();
  return {
    of: (organisation, memberHex) =>
      `${organisation}${SEPARATOR}${macOf(organisation, memberHex).toString("base64url")}`,
    organisationOf: (memberHex, authority) => {
      const [organisation = "", mac = ""] = authority.split(SEPARATOR, 2);
      const given = Buffer.from(mac, "base64url");
      const wanted = macOf(organisation, memberHex);
      return given.length === wanted.length && timingSafeEqual(given, wanted) ? organisation : undefined;
    },
  };
}
