// The events of a member, as bytes: made and read here, so that no two authors write them differently.
import { bus, decode, encode } from "../wire/codec.js";
import { fromHex, toHex } from "../wire/hex.js";
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

/**
 * The member that a subject names; `undefined` for a subject of anything else, a beat say, or one whose shard is not the
 * member's.
 * @param subject members.<shard>.<organisation>.<gallery>.<member id, hex>, or the same of keys
 */
export function placeOf(subject: string): MemberPlace | undefined {
  const [stream, shard, organisation, gallery, memberHex, ...more] = subject.split(".");
  if ((stream !== "members" && stream !== "keys") || more.length > 0) return undefined;
  if (!organisation || !gallery || !memberHex || !/^[0-9a-f]{32}$/.test(memberHex)) return undefined;
  const memberId = fromHex(memberHex);
  return Number(shard) === shardOf(memberId) ? { organisation, gallery, memberId } : undefined;
}

/** Whether the event is of the member that its subject names. */
export function fitsSubject(subject: string, { memberId, organisation, gallery }: bus.MemberEvent): boolean {
  return (
    memberId.length === MEMBER_ID_BYTES && subject === memberSubjectOf({ memberId, organisation, gallery })
  );
}

const event = ({ memberId, organisation, gallery }: MemberPlace, body: Body): Uint8Array =>
  encode(bus.MemberEvent, { memberId, organisation, gallery, ...body });
