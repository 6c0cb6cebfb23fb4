// One member, as the desk sees and changes one: read of its shard, changed on top of what was read.
//
// Invariants (test/desk/members.test.ts):
// - a change is appended on top of the member's last event: two who change at once do not overwrite each other unseen,
//   and nothing is appended to an erased member;
// - a change is answered when every worker that holds the member's shard has applied it, or cannot serve it any more
//   (records/served.ts; heartbeats are hints): whoever asks next, at whichever desk or lane, is told the new state;
// - of an instrument only brand and last four digits are ever answered, of a phone number the last two.
import { setTimeout as pause } from "node:timers/promises";
import type { KnownMember, MemberClient } from "../../identify/members.js";
import {
  type EventLog,
  fetchDataKey,
  pairwiseRoot,
  profileChanged,
  type ServedBy,
  sealProfile,
  UNSERVED_AFTER_MS,
} from "../../records/index.js";
import { type bus, edge } from "../../wire/codec.js";
import type { DirectoryView } from "../../wire/directory.js";
import { fromHex } from "../../wire/hex.js";
import type { Keyring } from "../../wire/keyring.js";
import { pairwiseId } from "../../wire/pairwise.js";
import { shardOf } from "../../wire/shard.js";
import { type MemberPlace, memberSubject } from "../../wire/subjects.js";
import { POSITIONS } from "../enrolment/order.js";
import { refuse } from "../problem.js";
import { logged } from "../saga-answers.js";

const READ_DEADLINE_MS = 2000;
/** By then a worker that does not confirm serves nobody any more. */
const APPLIED_WAIT_MS = UNSERVED_AFTER_MS + 2000;
const APPLIED_PAUSE_MS = 100;
/** Of a phone number, what an operator sees: enough to ask "does it end with..?". */
const PHONE_ENDING_DIGITS = 2;

export interface MembersOptions {
  eventLog: EventLog;
  keyring: Keyring;
  client: Pick<MemberClient, "get">;
  served: Pick<ServedBy, "ask">;
  directory: Pick<DirectoryView, "sites" | "galleries">;
  /** Default APPLIED_WAIT_MS. */
  appliedWaitMs?: number;
}

export class Members {
  readonly #options: MembersOptions;

  constructor(options: MembersOptions) {
    this.#options = options;
  }

  /** @throws Refusal */
  async get(organisation: string, memberHex: string, atLeastSequence = 0): Promise<KnownMember> {
    const { client } = this.#options;
    const found = await client.get(organisation, memberHex, READ_DEADLINE_MS, { atLeastSequence });
    if (found.ok) return found.member;
    switch (found.code) {
      case "NOT_FOUND":
        throw refuse("NOT_FOUND", "There is no such member.");
      case "ERASED":
        throw refuse("ERASED", "The member has been erased.");
      case "UNAVAILABLE":
        throw refuse("MEMBER_UNAVAILABLE", "No matcher that serves this member answered.");
    }
  }

  /** As the API tells it. */
  told(organisation: string, memberHex: string, { facts, gallery, templates }: KnownMember) {
    const { instrument, contact, consents } = facts.profile ?? {};
    return {
      memberId: memberHex,
      organisation,
      gallery,
      enrolledAtUnixMs: facts.enrolledUnixMs,
      revision: facts.revision,
      templates: templates.map(({ modelId, position }) => ({
        modelId,
        position: POSITIONS[position] ?? "UNKNOWN",
      })),
      consents: purposesOf(consents ?? []),
      instrument: instrument ? { brand: instrument.brand ?? "", last4: instrument.last4 ?? "" } : null,
      phoneEnding: contact?.phone ? contact.phone.slice(-PHONE_ENDING_DIGITS) : null,
      pairwiseIds: this.#pairwiseIds(organisation, facts.pairwiseRoot),
    };
  }

  /** The member's pseudonym at every site, of the data key: also where no matcher answers. @throws Refusal */
  async pairwiseIds(
    organisation: string,
    gallery: string,
    memberHex: string,
  ): Promise<Record<string, string>> {
    const key = await this.#dataKey({ organisation, gallery, memberId: fromHex(memberHex) });
    try {
      return this.#pairwiseIds(organisation, pairwiseRoot(key));
    } finally {
      key.fill(0);
    }
  }

  /** Changes the profile. @throws Refusal */
  async change(
    organisation: string,
    memberHex: string,
    make: (profile: bus.IProfile) => bus.IProfile,
  ): Promise<KnownMember> {
    const { eventLog } = this.#options;
    const member = await this.get(organisation, memberHex);
    const { gallery, facts } = member;
    const place = { organisation, gallery, memberId: fromHex(memberHex) };
    const event = await this.#changeEvent(place, make(facts.profile ?? {}));
    const shard = shardOf(place.memberId);
    const appended = await eventLog.append(memberSubject(shard, organisation, gallery, memberHex), event, {
      expectedSubjectSequence: facts.revision,
    });
    if (!appended.ok) {
      if (appended.code === "CONFLICT")
        throw refuse("CONFLICT", "The member was changed by somebody else meanwhile.");
      throw refuse(appended.code, "The event log did not take the change.");
    }
    await this.#applied(shard, appended.sequence);
    return this.get(organisation, memberHex, appended.sequence);
  }

  async #changeEvent(place: MemberPlace, profile: bus.IProfile): Promise<Uint8Array> {
    const key = await this.#dataKey(place);
    try {
      return profileChanged(place, sealProfile(key, place, profile));
    } finally {
      key.fill(0);
    }
  }

  /** The caller wipes it. */
  async #dataKey(place: MemberPlace): Promise<Uint8Array> {
    const { eventLog, keyring } = this.#options;
    const fetched = await logged(() => fetchDataKey(eventLog, keyring, place));
    if (fetched.ok) return fetched.key;
    throw fetched.code === "DESTROYED"
      ? refuse("ERASED", "The member's data key is destroyed.")
      : refuse(
          "MEMBER_UNAVAILABLE",
          "The member's data key does not open here: the directory may be behind.",
        );
  }

  async #applied(shard: number, sequence: number): Promise<void> {
    const { served, appliedWaitMs = APPLIED_WAIT_MS } = this.#options;
    const endsAtMs = performance.now() + appliedWaitMs;
    while (!(await logged(() => served.ask(shard, sequence))).ok) {
      if (performance.now() >= endsAtMs)
        throw refuse("NOT_YET_DURABLE", "The log has the change; not every matcher has confirmed it yet.");
      await pause(APPLIED_PAUSE_MS);
    }
  }

  #pairwiseIds(organisation: string, root: Uint8Array): Record<string, string> {
    const sites = this.#options.directory.sites(organisation);
    return Object.fromEntries(sites.map(({ name }) => [name, pairwiseId(root, name)]));
  }
}

export const purposesOf = (numbers: readonly number[]): ("ENTRY" | "PAY")[] =>
  numbers.flatMap((number) => {
    const name = edge.Purpose[number];
    return name === "ENTRY" || name === "PAY" ? [name] : [];
  });
