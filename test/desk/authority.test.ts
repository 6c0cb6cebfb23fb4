import { expect, it } from "vitest";
import { openAuthorities } from "../../desk/passes/authority.js";
import { openKeyring } from "../../wire/keyring.js";

it("an authority is good for its member of its organisation alone, also when the organisation is gone", () => {
  const keyring = openKeyring(new Uint8Array(32).fill(7), () => []);
  const authorities = openAuthorities(keyring);
  const [member, other] = ["ab".repeat(16), "cd".repeat(16)];
  const authority = authorities.of("acme", member);
  expect(authorities.organisationOf(member, authority)).toBe("acme");
  expect(authorities.organisationOf(other, authority)).toBeUndefined();
  expect(authorities.organisationOf(member, authority.replace("acme", "others"))).toBeUndefined();
  expect(
    openAuthorities(openKeyring(new Uint8Array(32), () => [])).organisationOf(member, authority),
  ).toBeUndefined();
});
