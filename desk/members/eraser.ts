// Erases a member for good: puts the wish into the log and waits a while for its end. The ledgers do it
// (ledger/erase-saga.ts), whatever becomes of this desk; who asks again is told how it stands.
//
// Invariants (test/desk/members.test.ts):
// - a wish that is in the log is never lost; asked at any desk, it is the same erasure and in the end the same receipt;
// - a receipt is what a ledger signed when every holder had confirmed; the desk makes none;
// - it needs no matcher: a member whose shard nobody serves can be erased.
import type { EventLog, Saga, Sagas } from "../../records/index.js";
import { bus, encode } from "../../wire/codec.js";
import type { DirectoryView } from "../../wire/directory.js";
import { fromHex } from "../../wire/hex.js";
import { parseJson } from "../../wire/json.js";
import { shardOf } from "../../wire/shard.js";
import { memberSubject, STREAMS } from "../../wire/subjects.js";
import { refuse } from "../problem.js";
import { logged, refusalOf } from "../saga-answers.js";

const WAIT_MS = 5000;

export type Erasure =
  | { state: "DONE"; receipt: unknown }
  /** `detail`: who has not confirmed yet, where a ledger has said so. */
  | { state: "UNDER_WAY"; detail: string };

export interface EraserOptions {
  eventLog: Pick<EventLog, "last">;
  sagas: Pick<Sagas, "begin" | "read" | "ended">;
  directory: Pick<DirectoryView, "galleries">;
  /** Default WAIT_MS. */
  waitMs?: number;
}

export class Eraser {
  readonly #options: EraserOptions;

  constructor(options: EraserOptions) {
    this.#options = options;
  }

  /** Begins the erasure, or takes part in the one under way. @throws Refusal */
  async erase(organisation: string, memberHex: string, by: "operator" | "member"): Promise<Erasure> {
    const { sagas, waitMs = WAIT_MS } = this.#options;
    const found = await logged(() => sagas.read("erase", organisation, memberHex));
    const saga = found ?? (await this.#begin(organisation, memberHex, by));
    const ended = await logged(() => sagas.ended("erase", organisation, memberHex, waitMs));
    return standing(ended ?? saga);
  }

  /** How it stands. @throws Refusal */
  async find(organisation: string, memberHex: string): Promise<Erasure> {
    const saga = await logged(() => this.#options.sagas.read("erase", organisation, memberHex));
    if (!saga) throw refuse("NOT_FOUND", "No erasure of this member was asked for.");
    return standing(saga);
  }

  async #begin(organisation: string, memberHex: string, by: string): Promise<Saga> {
    const { sagas } = this.#options;
    const memberId = fromHex(memberHex);
    const gallery = await this.#galleryOf(organisation, memberHex);
    if (gallery === undefined) throw refuse("NOT_FOUND", "There is no such member.");
    const intent = encode(bus.EraseIntent, { memberId, gallery });
    // One member, one erasure: whoever asks, it is the same body.
    const begun = await sagas.begin({
      kind: "erase",
      organisation,
      id: memberHex,
      by,
      bodySha256: memberId,
      intent,
    });
    if (begun.ok) return begun.saga;
    if (begun.code === "OTHER_BODY")
      throw refuse("CONFLICT", "Something else stands in the log under this member.");
    throw refuse(begun.code, "The event log did not take the erasure.");
  }

  /** Of the log itself: also a member whom no matcher serves now. */
  async #galleryOf(organisation: string, memberHex: string): Promise<string | undefined> {
    const { directory, eventLog } = this.#options;
    const shard = shardOf(fromHex(memberHex));
    for (const { name } of directory.galleries(organisation)) {
      const subject = memberSubject(shard, organisation, name, memberHex);
      if (await logged(() => eventLog.last(STREAMS.members, subject))) return name;
    }
    return undefined;
  }
}

function standing(saga: Saga): Erasure {
  if (saga.step === "REFUSED") throw refusalOf(saga);
  if (saga.step !== "DONE") return { state: "UNDER_WAY", detail: saga.detail };
  const receipt = parseJson(saga.result);
  if (receipt === undefined) throw refuse("INTERNAL", "The receipt in the log cannot be read.");
  return { state: "DONE", receipt };
}
