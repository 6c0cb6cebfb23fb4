// The events of a member, as bytes: made and read here, so that no two authors write them differently.
import { bus, decode, encode } from "../wire/codec.js";
import { toHex } from "../wire/hex.js";
import { MEMBER_ID_BYTES } from "../wire/limits.js";
import type { SealedBytes } from "../wire/seal.js";
import { shardOf } from "../wire/shard.js";
import { keySubject, type MemberPlace, memberSubject } from "../wire/subjects.js";

type Body = Pick<bus.MemberEvent.$Properties, "enrolled" | "profileChanged" | "erased">;

/** @param templates sealed, 1..8 @param profile a sealed bus.Profile */
export const enrolled = (
  place: MemberPlace,
  body: { templates: bus.ITemplate[]; profile: SealedBytes },
): Uint8Array => event(place, { enrolled: body });

/** @param profile the whole profile as it holds from now on, sealed */
export const profileChanged = (place: MemberPlace, profile: SealedBytes): Uint8Array =>
  event(place, { profileChanged: { profile } });

export const erased = (
  place: MemberPlace,
  body: { requestedBy: string; keySequences: number[]; memberSequences: number[] },
): Uint8Array => event(place, { erased: body });

/** The event, or `undefined` when the bytes are none, or name no member. */
export function decodeMemberEvent(bytes: Uint8Array): bus.MemberEvent | undefined {
  const message = decode(bus.MemberEvent, bytes);
  return message?.memberId.length === MEMBER_ID_BYTES && message.body !== undefined ? message : undefined;
}

/** Where a member's events lie. */
export const memberSubjectOf = ({ organisation, gallery, memberId }: MemberPlace): string =>
  memberSubject(shardOf(memberId), organisation, gallery, toHex(memberId));

/** Where a member's data key lies. */
export const keySubjectOf = ({ organisation, gallery, memberId }: MemberPlace): string =>
  keySubject(shardOf(memberId), organisation, gallery, toHex(memberId));

const event = ({ memberId, organisation, gallery }: MemberPlace, body: Body): Uint8Array =>
  encode(bus.MemberEvent, { memberId, organisation, gallery, ...body });
