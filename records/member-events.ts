// The events of a member, as bytes: made and read here, so that no two authors write them differently.
import { bus, decode, encode } from "../wire/codec.js";
import { MEMBER_ID_BYTES } from "../wire/limits.js";
import type { SealedBytes } from "./seal.js";

export interface MemberPlace {
  /** 16 bytes */
  memberId: Uint8Array;
  gallery: string;
  partition: number;
}

type Body = Pick<bus.MemberEvent.$Properties, "enrolled" | "consentChanged" | "instrumentAdded" | "erased">;

export function enrolled(
  place: MemberPlace,
  body: {
    templates: bus.ITemplate[];
    consents: number[];
    instrument?: SealedBytes | undefined;
    contact?: SealedBytes | undefined;
    consentTextSha256?: Uint8Array | undefined;
  },
): Uint8Array {
  const { templates, consents, instrument, contact, consentTextSha256 } = body;
  return event(place, {
    enrolled: {
      templates,
      consents,
      instrument: instrument ?? null,
      contact: contact ?? null,
      ...(consentTextSha256 ? { consentTextSha256 } : {}),
    },
  });
}

/** @param consents all that hold from now on */
export const consentChanged = (place: MemberPlace, consents: number[]): Uint8Array =>
  event(place, { consentChanged: { consents } });

export const instrumentAdded = (place: MemberPlace, instrument: SealedBytes): Uint8Array =>
  event(place, { instrumentAdded: { instrument } });

export function erased(
  place: MemberPlace,
  body: { requestedBy: string; keySequences: number[]; memberSequences: number[] },
): Uint8Array {
  return event(place, { erased: body });
}

/** The event, or `undefined` when the bytes are none, or name no member. */
export function decodeMemberEvent(bytes: Uint8Array): bus.MemberEvent | undefined {
  const message = decode(bus.MemberEvent, bytes);
  return message?.memberId.length === MEMBER_ID_BYTES && message.body !== undefined ? message : undefined;
}

function event({ memberId, gallery, partition }: MemberPlace, body: Body): Uint8Array {
  return encode(bus.MemberEvent, { atUnixMs: Date.now(), memberId, gallery, partition, ...body });
}
