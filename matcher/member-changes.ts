// From events of the log to changes of members; and from a row of the store to signatures in the clear.
//
// Invariants:
// - an event that names another member, organisation, gallery or shard than its subject changes nothing, and is counted
//   in the log of the process;
// - a signature in the clear lives in a segment (its index) and nowhere else;
// - a template of another model, or one that does not open to the gallery's kind of signature, never reaches a segment,
//   and is counted.
import { TEMPLATE_CODE_WORDS } from "../palm/codes/layout.js";
import { TEMPLATE_LINES_WORDS } from "../palm/lines/frames.js";
import { type Signature, wipe } from "../palm/signature.js";
import { type LogEvent, openTemplate } from "../records/index.js";
import { bus, decode } from "../wire/codec.js";
import { fromHex, toHex } from "../wire/hex.js";
import { MEMBER_ID_BYTES } from "../wire/limits.js";
import { shardOf } from "../wire/shard.js";
import { memberSubject } from "../wire/subjects.js";
import { vectorFault } from "./index/signature-index.js";
import type { SegmentFacts } from "./serving.js";

interface Changed {
  sequence: number;
  atUnixMs: number;
  /** 32 hex digits. */
  member: string;
  memberId: Uint8Array;
  organisation: string;
  gallery: string;
  /** Of the event. */
  bytes: number;
}

export type Change =
  | (Changed & {
      kind: "enrolled";
      templates: readonly bus.ITemplate[];
      profile: bus.ISealed | null | undefined;
    })
  | (Changed & { kind: "profile"; profile: bus.ISealed | null | undefined })
  | (Changed & { kind: "erased" });

export const SKIP_REASONS = ["other_model", "unopened"] as const;
export type SkipReason = (typeof SKIP_REASONS)[number];

/** What is wrong with the event, as text, where it is none of a member's that we know. */
export function readChange({ subject, sequence, atUnixMs, body }: LogEvent): Change | string {
  const message = decode(bus.MemberEvent, body);
  if (message?.memberId.length !== MEMBER_ID_BYTES) return "not a MemberEvent";
  const { memberId, organisation, gallery } = message;
  const member = toHex(memberId);
  if (subject !== memberSubject(shardOf(memberId), organisation, gallery, member)) {
    return "the event names another member, organisation or gallery than its subject";
  }
  const of = { sequence, atUnixMs, member, memberId, organisation, gallery, bytes: body.length };
  if (message.erased) return { kind: "erased", ...of };
  if (message.profileChanged) return { kind: "profile", ...of, profile: message.profileChanged.profile };
  if (!message.enrolled) return "a MemberEvent without a body that is known here";
  const { templates, profile } = message.enrolled;
  return { kind: "enrolled", ...of, templates: templates ?? [], profile };
}

/** Opens the templates of the gallery's own model. The caller wipes the signatures when the segment has them. */
export function openTemplates(
  key: Uint8Array,
  member: string,
  templates: readonly bus.ITemplate[],
  { organisation, gallery, modelId, dimension, lineMaps }: SegmentFacts,
  onSkipped: (reason: SkipReason) => void,
): Signature[] {
  const [words, codeWords] = lineMaps ? [TEMPLATE_LINES_WORDS, TEMPLATE_CODE_WORDS] : [0, 0];
  const place = { memberId: fromHex(member), organisation, gallery };
  return templates.flatMap((template) => {
    if (template.modelId !== modelId) {
      onSkipped("other_model");
      return [];
    }
    const signature = openTemplate(key, place, template, dimension, codeWords);
    if (signature !== undefined) {
      const { vector, lines, codes } = signature;
      const fits = lines.length === words && codes.length === codeWords;
      if (fits && vectorFault(vector, dimension) === undefined) return [signature];
      wipe(signature);
    }
    onSkipped("unopened");
    return [];
  });
}
