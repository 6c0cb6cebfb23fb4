// From events of the log to changes of a partition: what goes into the view, and what into the roster.
//
// Invariants:
// - the view keeps ciphertext only; a signature in the clear lives in the roster (its index) and nowhere else;
// - a member without a data key is erased: its templates are skipped, not an error;
// - a template of another model, or one that does not open to the gallery's kind of signature, never reaches the
//   roster, and is counted.
import { TEMPLATE_CODE_WORDS } from "../palm/codes/layout.js";
import { TEMPLATE_LINES_WORDS } from "../palm/lines/frames.js";
import { type Signature, wipe } from "../palm/signature.js";
import { type LogEvent, type MemberKeys, openTemplate, type ViewTables } from "../records/index.js";
import { bus, decode, encode } from "../wire/codec.js";
import { toHex } from "../wire/partition.js";
import { memberSubject } from "../wire/subjects.js";
import { vectorFault } from "./index/signature-index.js";

/** The view's one table: member id in hex -> bus.Enrolled that holds the sealed templates and nothing else. */
export const MEMBERS_TABLE = "members";

export interface Scope {
  gallery: string;
  partition: number;
  modelId: string;
  dimension: number;
  lineMaps: boolean;
}

export type Change =
  | { kind: "enrolled"; member: string; memberId: Uint8Array; templates: readonly bus.ITemplate[] }
  | { kind: "erased"; member: string }
  | { kind: "other" }
  | { kind: "malformed"; detail: string };

export const SKIP_REASONS = ["other_model", "unopened"] as const;
export type SkipReason = (typeof SKIP_REASONS)[number];

export function readChange(event: LogEvent, { gallery, partition }: Scope): Change {
  const message = decode(bus.MemberEvent, event.body);
  if (message === undefined) return { kind: "malformed", detail: "not a MemberEvent" };
  const member = toHex(message.memberId);
  if (event.subject !== memberSubject(gallery, partition, member)) {
    return {
      kind: "malformed",
      detail: "the event names another member, gallery or partition than its subject",
    };
  }
  if (message.erased) return { kind: "erased", member };
  if (!message.enrolled) return { kind: "other" };
  return {
    kind: "enrolled",
    member,
    memberId: message.memberId,
    templates: message.enrolled.templates ?? [],
  };
}

/** Brings one change into the view. Runs inside the view's transaction. */
export function writeChange(change: Change, tables: ViewTables): void {
  const table = tables.table(MEMBERS_TABLE);
  if (change.kind === "enrolled") {
    table.put(change.member, encode(bus.Enrolled, { templates: [...change.templates] }));
  }
  if (change.kind === "erased") table.remove(change.member);
}

/** Sealed templates as the view holds them. */
export function storedTemplates(value: Uint8Array): readonly bus.ITemplate[] {
  return decode(bus.Enrolled, value)?.templates ?? [];
}

/** Opens the templates of the gallery's own model. The caller wipes the signatures when the roster has them. */
export function openTemplates(
  key: Uint8Array,
  memberId: Uint8Array,
  templates: readonly bus.ITemplate[],
  { gallery, modelId, dimension, lineMaps }: Scope,
  onSkipped: (reason: SkipReason) => void,
): Signature[] {
  const words = lineMaps ? TEMPLATE_LINES_WORDS : 0;
  const codeWords = lineMaps ? TEMPLATE_CODE_WORDS : 0;
  return templates.flatMap((template) => {
    if (template.modelId !== modelId) {
      onSkipped("other_model");
      return [];
    }
    const signature = openTemplate(key, memberId, gallery, template, dimension, codeWords);
    if (signature !== undefined) {
      const { vector, lines } = signature;
      if (lines.length === words && vectorFault(vector, dimension) === undefined) return [signature];
      wipe(signature);
    }
    onSkipped("unopened");
    return [];
  });
}

/** The data key of a member: from memory, else from the log. `undefined`: destroyed, the member is erased. */
export async function keyOf(
  keys: MemberKeys,
  { gallery, partition }: Scope,
  member: string,
): Promise<Uint8Array | undefined> {
  return keys.get(member) ?? (await keys.fetch(gallery, partition, member));
}
