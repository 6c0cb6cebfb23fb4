// Matchers as far as a ledger knows them: one that confirms what it has applied, and a search over what the log holds.
import type { NatsConnection } from "@nats-io/transport-node";
import type { SearchRequest } from "../../../identify/search.js";
import type { SearchedGallery } from "../../../ledger/enrol-saga.js";
import { dot } from "../../../palm/signature.js";
import {
  decodeMemberEvent,
  type EventLog,
  fetchDataKey,
  openHolders,
  openTemplate,
} from "../../../records/index.js";
import { bus, decode, encode } from "../../../wire/codec.js";
import { toHex } from "../../../wire/hex.js";
import type { Keyring } from "../../../wire/keyring.js";
import type { Log } from "../../../wire/log.js";
import { ShardSet } from "../../../wire/shard.js";
import { MODEL } from "./rig.js";

type Status = Exclude<keyof typeof bus.AppliedStatus, "APPLIED_STATUS_UNSPECIFIED">;

export interface ScriptedWorker {
  workerId: string;
  /** What it says from now on; silent: nothing. */
  answer: Status | "silent";
  asked: bus.AppliedRequest[];
  leave(): void;
}

/** Stands in the record as a holder of everything. */
export async function scriptedWorker(
  nc: NatsConnection,
  workerId: string,
  answer: Status | "silent" = "APPLIED",
): Promise<ScriptedWorker> {
  await openHolders(nc, () => Date.now()).widen(workerId, ShardSet.all());
  const worker: ScriptedWorker = { workerId, answer, asked: [], leave: () => subscription.unsubscribe() };
  const subscription = nc.subscribe(`worker.${workerId}.shard.*.applied`, {
    callback: (error, message) => {
      const request = error === null ? decode(bus.AppliedRequest, message.data) : undefined;
      if (request === undefined) return;
      worker.asked.push(request);
      if (worker.answer === "silent") return;
      const status = bus.AppliedStatus[worker.answer];
      const appliedSequence = request.streamSequence;
      message.respond(encode(bus.AppliedReply, { workerId, status, appliedSequence, instance: "i" }));
    },
  });
  await nc.flush();
  return worker;
}

export interface LogSearch {
  search(request: SearchRequest): Promise<SearchedGallery>;
  /** Members that a matcher would serve. */
  members(): string[];
  stop(): Promise<void>;
}

interface Held {
  memberHex: string;
  place: string;
  vectors: Float32Array[];
}

/** A search by brute force over the members that the log holds, as far as this follower has come. */
export function searchOfLog(eventLog: EventLog, keyring: Keyring, log: Log): LogSearch {
  const held = new Map<string, Held>();
  const follower = eventLog.follow({
    stream: "MEMBERS",
    filters: ["members.*.>"],
    afterSequence: 0,
    log,
    onBatch: async (events) => {
      for (const { body } of events) {
        const event = decodeMemberEvent(body);
        if (event === undefined) continue;
        const memberHex = toHex(event.memberId);
        if (event.erased) held.delete(memberHex);
        const { organisation, gallery, memberId } = event;
        const place = { organisation, gallery, memberId };
        const key = event.enrolled && (await fetchDataKey(eventLog, keyring, place));
        if (!event.enrolled || !key?.ok) continue;
        const vectors = (event.enrolled.templates ?? []).flatMap(
          (template) => openTemplate(key.key, place, template, MODEL.dimension, 0)?.vector ?? [],
        );
        held.set(memberHex, { memberHex, place: `${organisation}/${gallery}`, vectors });
      }
    },
  });
  return {
    search: async ({ organisation, gallery, probe }) => {
      const here = [...held.values()].filter(({ place }) => place === `${organisation}/${gallery}`);
      const candidates = here.map(({ vectors }) => ({
        similarity: Math.max(...vectors.map((vector) => dot(probe.vector, vector))),
      }));
      return { complete: true, templates: here.length, candidates };
    },
    members: () => [...held.keys()],
    stop: () => follower.stop(),
  };
}
