// A matcher's stand-in over real NATS: it answers as a worker does, from a list of people, and a test makes it lie, lag
// or fall silent. Its heartbeats are real.
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { bus, decode, encode } from "../../../wire/codec.js";
import { sealFacts } from "../../../wire/facts.js";
import { fromHex, toHex } from "../../../wire/hex.js";
import type { Keyring } from "../../../wire/keyring.js";
import { openLog } from "../../../wire/log.js";
import { SHARDS, ShardSet, shardOf, slotOf } from "../../../wire/shard.js";
import {
  compareSubject,
  memberReadSubject,
  rowSearchSubject,
  workerSearchSubject,
} from "../../../wire/subjects.js";
import { openWorkerAnnouncer } from "../../../wire/workers.js";

const HEARTBEAT_MS = 500;

export interface Person {
  /** 32 hex digits; the first two are the shard. */
  hex: string;
  organisation: string;
  gallery: string;
  vector: Float32Array;
  facts?: bus.MemberFacts.$Properties;
}

export interface WorkerSpec {
  id: string;
  row: number;
  slot: number;
  slots: number;
  threads?: number;
}

type Search = { request: bus.SearchRequest; reply: bus.SearchReply.$Properties; row: boolean };
type Compare = { request: bus.CompareRequest; reply: bus.CompareReply.$Properties };

/** What it does, to be changed at any time. `undefined` as an answer: nothing is said. */
export interface Script {
  search(
    honest: Search,
  ): bus.SearchReply.$Properties | undefined | Promise<bus.SearchReply.$Properties | undefined>;
  compare(
    honest: Compare,
  ): bus.CompareReply.$Properties | undefined | Promise<bus.CompareReply.$Properties | undefined>;
  member(honest: bus.MemberReply.$Properties): bus.MemberReply.$Properties | undefined;
  state(honest: bus.WorkerState.$Properties): bus.WorkerState.$Properties;
}

export interface ScriptedWorker {
  id: string;
  script: Script;
  people: Person[];
  /** Searches heard, those of the row and those of its own. */
  heard: { row: number; own: number; compares: number };
  /** Bodies of what was heard. */
  bodies: Uint8Array[];
  /** Says its state now. */
  say(): Promise<boolean>;
  /** Stops its heartbeats and listens no more, without a word. */
  vanish(): void;
  /** Takes no message any more, while its heartbeats go on. */
  deafen(): void;
}

const HONEST: Script = {
  search: ({ reply }) => reply,
  compare: ({ reply }) => reply,
  member: (reply) => reply,
  state: (state) => state,
};

export async function startWorker(
  nc: NatsConnection,
  keyring: Pick<Keyring, "busKey">,
  spec: WorkerSpec,
  people: Person[] = [],
): Promise<ScriptedWorker> {
  const { id, row, slot, slots, threads = 1 } = spec;
  const instance = `${id}-life`;
  const own = (thread?: number) =>
    new ShardSet(
      Array.from({ length: SHARDS }, (_, shard) => shard).filter(
        (shard) =>
          slotOf(shard, slots) === slot &&
          (thread === undefined || Math.floor(shard / slots) % threads === thread),
      ),
    );
  const worker: ScriptedWorker = {
    id,
    script: { ...HONEST },
    people,
    heard: { row: 0, own: 0, compares: 0 },
    bodies: [],
    say: () => announcer.say(worker.script.state(state())),
    vanish: () => {
      clearInterval(timer);
      worker.deafen();
    },
    deafen: () => {
      for (const each of subscriptions.splice(0)) each.unsubscribe();
    },
  };
  const state = (): bus.WorkerState.$Properties => ({
    workerId: id,
    instance,
    hasSlot: true,
    row,
    slot,
    threads,
    shardsReady: own().bytes(),
    shardsOpen: own().bytes(),
    templates: worker.people.length,
  });
  const nearOf = (request: bus.SearchRequest, thread: number) => {
    const { buffer, byteOffset } = new Uint8Array(request.probe);
    const probe = new Float32Array(buffer, byteOffset, request.probe.length / 4);
    return worker.people.flatMap((person, handle) => {
      const isHere = person.organisation === request.organisation && person.gallery === request.gallery;
      const shard = shardOf(fromHex(person.hex));
      return isHere && own(thread).has(shard)
        ? [{ handle, distance: 1 - dot(probe, person.vector), shard }]
        : [];
    });
  };
  const onSearch = (thread: number, isRow: boolean) => async (message: Msg) => {
    if (thread === 0) worker.heard[isRow ? "row" : "own"] += 1;
    const request = decode(bus.SearchRequest, message.data);
    if (request === undefined) throw new Error("no SearchRequest");
    worker.bodies.push(new Uint8Array(message.data));
    const shards = own(thread).and(ShardSet.from(request.shards) ?? ShardSet.all());
    if (shards.isEmpty) return;
    const near = nearOf(request, thread).sort((a, b) => a.distance - b.distance);
    const reply = {
      workerId: id,
      instance,
      thread,
      status: bus.SearchStatus.SEARCHED,
      shards: shards.bytes(),
      near: near.slice(0, request.nearest),
      scale: 1,
      templates: near.length,
    };
    const said = await worker.script.search({ request, reply, row: isRow });
    if (said !== undefined) message.respond(encode(bus.SearchReply, said));
  };
  const onCompare = (thread: number) => async (message: Msg) => {
    worker.heard.compares += 1;
    const request = decode(bus.CompareRequest, message.data);
    if (request === undefined) throw new Error("no CompareRequest");
    worker.bodies.push(new Uint8Array(message.data));
    const { buffer, byteOffset } = new Uint8Array(request.probe);
    const probe = new Float32Array(buffer, byteOffset, request.probe.length / 4);
    const found = request.handles
      .flatMap((handle) => worker.people[handle] ?? [])
      .map((person) => ({ person, similarity: dot(probe, person.vector) }))
      .sort((a, b) => b.similarity - a.similarity);
    const best = found[0]?.person;
    const facts = best && { memberId: fromHex(best.hex), revision: 1, ...best.facts };
    const reply = {
      workerId: id,
      instance,
      thread,
      status: bus.SearchStatus.SEARCHED,
      candidates: found
        .map(({ person, similarity }) => ({ memberId: fromHex(person.hex), similarity }))
        .slice(0, 3),
      ...(facts && {
        profile: sealFacts(keyring.busKey("facts", request.organisation), request.nonce, facts),
      }),
    };
    const said = await worker.script.compare({ request, reply });
    if (said !== undefined) message.respond(encode(bus.CompareReply, said));
  };
  const onMember = (message: Msg) => {
    const request = decode(bus.MemberRequest, message.data);
    if (request === undefined) throw new Error("no MemberRequest");
    const person = worker.people.find(
      ({ hex, organisation }) => hex === toHex(request.memberId) && organisation === request.organisation,
    );
    const facts = person && { memberId: request.memberId, revision: 7, ...person.facts };
    const reply = {
      workerId: id,
      status: person ? bus.MemberStatus.FOUND : bus.MemberStatus.UNKNOWN,
      appliedSequence: 7,
      ...(person && { gallery: person.gallery, templates: [{ modelId: "m", position: 1 }] }),
      ...(facts && { facts: sealFacts(keyring.busKey("facts", request.organisation), request.nonce, facts) }),
    };
    const said = worker.script.member(reply);
    if (said !== undefined) message.respond(encode(bus.MemberReply, said));
  };
  const listen = (subject: string, take: (message: Msg) => unknown) =>
    nc.subscribe(subject, { callback: (_, message) => void take(message) });
  const subscriptions = Array.from({ length: threads }, (_, thread) => [
    listen(rowSearchSubject(row), onSearch(thread, true)),
    listen(workerSearchSubject(id), onSearch(thread, false)),
    listen(compareSubject(id, thread), onCompare(thread)),
  ]).flat();
  for (const shard of own()) subscriptions.push(listen(memberReadSubject(id, shard), onMember));
  await nc.flush();
  const announcer = openWorkerAnnouncer(nc, openLog("test"));
  await worker.say();
  const timer = setInterval(() => void worker.say(), HEARTBEAT_MS);
  return worker;
}

const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, each, i) => sum + each * (b[i] ?? 0), 0);
