// One search, from its first message to its result. Round one: every thread of a row answers handles of its nearest
// templates. Round two: the threads that hold the best of all compare them, and send the profile of their best.
//
// Invariants:
// - an answer counts for shards that nobody has answered for yet, and only for shards of the thread that gives it: handles
//   of other shards are dropped, so that no template is chosen twice;
// - who does not answer within the time of a second ask, or says that it cannot, is replaced by another worker that serves the
//   same shards, once for each worker; its late answer still counts while no other has come;
// - distances of two scales are never compared: the nearest of each go to round two;
// - handles of an earlier life of a worker: it is asked anew, once;
// - a profile that does not open is no answer: its worker's shards are asked of another;
// - complete: every shard answered for, every chosen handle compared, the best one's facts opened.
import type { Signature } from "../palm/signature.js";
import { bus } from "../wire/codec.js";
import { openFacts } from "../wire/facts.js";
import { fromHex } from "../wire/hex.js";
import type { Keyring } from "../wire/keyring.js";
import type { MaybeSealed } from "../wire/seal.js";
import { ShardSet } from "../wire/shard.js";
import { compareSubject, rowSearchSubject, workerSearchSubject } from "../wire/subjects.js";
import { Coverage } from "./coverage.js";
import type { Fleet, Row, Server } from "./fleet.js";
import { type Candidate, mergeCandidates, type Ranked } from "./merge.js";
import {
  encodeCompare,
  encodeSearch,
  NEAREST,
  type Near,
  readCompareReply,
  type SearchAnswer,
  type SearchHead,
} from "./messages.js";
import type { Silence } from "./silence.js";

export interface SearchResult {
  /** Every shard was searched, by workers that are current. */
  complete: boolean;
  /** Shards without an answer. */
  missing: number;
  /** By member, best first. None unless complete. */
  candidates: Candidate[];
  /** Templates that the probe was compared with, in the first round. */
  templates: number;
}

export interface Order {
  token: string;
  head: SearchHead;
  probe: Signature;
  /** 16 random bytes: profiles come back sealed to it. */
  nonce: Uint8Array;
  deadlineMs: number;
  /** A worker that has not answered after this is late. */
  secondAskMs: number;
  /** To be asked first; `undefined`: no worker is known. */
  row: Row | undefined;
  resolve(result: SearchResult): void;
}

/** What a search needs of its client. */
export interface Line {
  readonly fleet: Pick<Fleet, "server" | "servers">;
  readonly silence: Silence;
  readonly keyring: Pick<Keyring, "busKey">;
  /** @returns whether a second ask may go out now */
  mayAskAgain(): boolean;
  /** An answer was none: malformed, out of range, for shards of others, facts that did not open. */
  dropped(): void;
  /** `part` comes back with the answer. */
  publish(asking: Asking, subject: string, body: Uint8Array, part: string): void;
  ended(asking: Asking): void;
}

/** A thread that has answered with its nearest. */
interface Source {
  server: Server;
  thread: number;
  instance: string;
  /** That it counts for. */
  shards: ShardSet;
  near: Near[];
  /** Of its distances: those of two scales are not compared with each other. */
  scale: number;
  templates: number;
  /** Handles that it was asked to compare. */
  asked: Set<number>;
  answers: { candidates: Ranked[]; profile: MaybeSealed }[];
  /** Compares without an answer yet. */
  comparing: number;
  state: "counts" | "late" | "failed";
}

interface Comparing {
  source: Source;
  sinceMs: number;
  over: boolean;
}

export class Asking {
  readonly token: string;
  readonly row: Row | undefined;
  readonly #order: Order;
  readonly #line: Line;
  readonly #endsAtMs: number;
  readonly #shards: Coverage;
  readonly #askedAnew = new Set<string>();
  readonly #bodies: Uint8Array[] = [];
  readonly #comparing: Comparing[] = [];
  #sources: Source[] = [];
  #toChoose = false;
  #asks = 0;
  #timer: NodeJS.Timeout | undefined;
  #over = false;

  constructor(order: Order, line: Line) {
    this.token = order.token;
    this.row = order.row;
    this.#order = order;
    this.#line = line;
    this.#endsAtMs = performance.now() + order.deadlineMs;
    this.#shards = new Coverage(line.fleet, line.silence);
  }

  begin(): void {
    const lacking = ShardSet.all();
    if (this.row !== undefined) {
      const ask = this.#publishSearch(rowSearchSubject(this.row.row), undefined);
      for (const server of this.row.servers) {
        this.#shards.expect(ask, server, server.ready);
        if (!this.#shards.isSilent(server)) lacking.deleteAll(server.ready);
      }
    }
    this.#askElsewhere(lacking, { free: true });
    this.#plan();
    this.#advance();
  }

  /** @param part as it was published */
  onSearchReply(answer: SearchAnswer, part: string): void {
    if (this.#over) return;
    const owed = this.#shards.answered(part, answer.workerId, answer.thread);
    if (answer.ok) this.#accept(answer);
    if (answer.ok || isWorthAnother(answer.status)) this.#askElsewhere(owed, { free: false });
    this.#advance();
  }

  onCompareReply(index: number, bytes: Uint8Array): void {
    const comparing = this.#comparing[index];
    if (this.#over || comparing === undefined || comparing.over) return;
    comparing.over = true;
    const { source } = comparing;
    source.comparing -= 1;
    this.#line.silence.heard(source.server.id);
    const answer = readCompareReply(bytes, source.instance);
    if (answer.ok) {
      source.answers.push(answer);
      if (source.state === "late") this.#countAgain(source);
    } else {
      if (answer.status === UNREADABLE) this.#line.dropped();
      this.#replace(source, answer.status);
    }
    this.#advance();
  }

  /** NATS says that nobody listens there. */
  nobodyThere(part: string): void {
    if (this.#over) return;
    const comparing = compareOf(part);
    if (comparing !== undefined) {
      this.onCompareReply(comparing, NOTHING);
      return;
    }
    this.#askElsewhere(this.#shards.gone(part), { free: true });
    this.#advance();
  }

  /** Ends with what there is. */
  giveUp(): void {
    this.#finish(undefined);
  }

  #accept(answer: SearchAnswer & { ok: true }): void {
    const server = this.#line.fleet.server(answer.workerId);
    // It may name more: a shard that it has by now and its last heartbeat did not, or one that it is to let go.
    const own = server?.threads[answer.thread]?.and(answer.shards);
    if (server === undefined || own === undefined || (own.isEmpty && !answer.shards.isEmpty)) {
      this.#line.dropped();
      return;
    }
    const shards = own.and(this.#shards.open);
    if (shards.isEmpty) return;
    this.#shards.open.deleteAll(shards);
    const { thread, instance, scale, templates } = answer;
    const near = answer.near.filter(({ shard }) => shards.has(shard));
    const none = { asked: new Set<number>(), answers: [], comparing: 0, state: "counts" as const };
    this.#sources.push({ server, thread, instance, shards, near, scale, templates, ...none });
    this.#toChoose = true;
  }

  /** Goes on as far as what has come allows. */
  #advance(): void {
    if (this.#over) return;
    if (!this.#shards.open.isEmpty) {
      const isHopeless = !this.#shards.isWaiting && this.#comparing.every(({ over }) => over);
      if (isHopeless) this.#finish(undefined);
      return;
    }
    if (this.#toChoose) this.#compareBest();
    if (this.#sources.every(({ comparing }) => comparing === 0)) this.#conclude();
  }

  /** The best of all that are known, where they lie. */
  #compareBest(): void {
    this.#toChoose = false;
    const scales = new Set(this.#sources.map(({ scale }) => scale));
    const best = [...scales].flatMap((scale) => this.#nearestOf(scale));
    const handlesOf = new Map<Source, number[]>();
    for (const { source, handle } of best) {
      if (source.asked.has(handle)) continue;
      source.asked.add(handle);
      const handles = handlesOf.get(source);
      if (handles === undefined) handlesOf.set(source, [handle]);
      else handles.push(handle);
    }
    const { head, probe, nonce } = this.#order;
    for (const [source, handles] of handlesOf) {
      const { server, thread, instance } = source;
      const body = encodeCompare(head, probe, { instance, handles, nonce });
      this.#bodies.push(body);
      source.comparing += 1;
      const index = this.#comparing.push({ source, sinceMs: performance.now(), over: false }) - 1;
      this.#line.publish(this, compareSubject(server.id, thread), body, `${COMPARE}${index}`);
    }
  }

  /** Matchers of a row go by one engine, but for the time in which it is changed from one to the next of them. */
  #nearestOf(scale: number): { source: Source; handle: number }[] {
    return this.#sources
      .filter((source) => source.scale === scale)
      .flatMap((source) => source.near.map((near) => ({ source, ...near })))
      .sort((a, b) => a.distance - b.distance)
      .slice(0, NEAREST);
  }

  #conclude(): void {
    const answers = this.#sources.flatMap((source) => source.answers.map((each) => ({ source, ...each })));
    const merged: Candidate[] = mergeCandidates(answers.map(({ candidates }) => candidates));
    const [best] = merged;
    if (best === undefined) {
      this.#finish([]);
      return;
    }
    // Of several that are equally alike, the one whose profile came is the first.
    const found = answers.find(({ candidates: [first] }) => first?.similarity === best.similarity);
    const first = found?.candidates[0];
    if (found === undefined || first === undefined) throw new Error("the best candidate came in no answer");
    const key = this.#line.keyring.busKey("facts", this.#order.head.organisation);
    const facts = openFacts(key, this.#order.nonce, fromHex(first.member), found.profile);
    if (facts !== undefined) {
      this.#finish([{ ...first, facts }, ...merged.filter(({ member }) => member !== first.member)]);
      return;
    }
    this.#line.dropped();
    this.#replace(found.source, UNREADABLE);
    this.#advance();
  }

  /** What this source was to tell is asked of another worker, or of the same one when its handles are of an old life. */
  #replace(source: Source, status: bus.SearchStatus): void {
    if (source.state === "counts") this.#withdraw(source);
    source.state = "failed";
    const { server, shards } = source;
    if (status === bus.SearchStatus.STALE_HANDLES && !this.#askedAnew.has(server.id)) {
      this.#askedAnew.add(server.id);
      this.#ask(server, shards);
    } else {
      this.#askElsewhere(shards, { free: false });
    }
  }

  #withdraw(source: Source): void {
    source.state = "late";
    this.#sources = this.#sources.filter((each) => each !== source);
    this.#shards.open.addAll(source.shards);
  }

  /** It was given up for its lateness, and has answered before whoever was asked instead. */
  #countAgain(source: Source): void {
    if (source.comparing > 0 || !this.#shards.open.hasAll(source.shards)) return;
    source.state = "counts";
    this.#shards.open.deleteAll(source.shards);
    this.#sources.push(source);
  }

  /** Asks other workers for those of these shards that are open, as far as there are any and the budget allows. */
  #askElsewhere(shards: ShardSet, { free }: { free: boolean }): void {
    for (const [server, those] of this.#shards.elsewhere(shards)) {
      if (free || this.#line.mayAskAgain()) this.#ask(server, those);
    }
  }

  #ask(server: Server, shards: ShardSet): void {
    const ask = this.#publishSearch(workerSearchSubject(server.id), shards);
    this.#shards.expect(ask, server, shards);
  }

  /** @returns the part that comes back with the answers */
  #publishSearch(subject: string, shards: ShardSet | undefined): string {
    const body = encodeSearch(this.#order.head, this.#order.probe, shards);
    this.#bodies.push(body);
    const part = `${SEARCH}${this.#asks++}`;
    this.#line.publish(this, subject, body, part);
    return part;
  }

  #plan(): void {
    const leftMs = this.#endsAtMs - performance.now();
    this.#timer = setTimeout(() => this.#onTimer(), Math.max(0, Math.min(this.#order.secondAskMs, leftMs)));
  }

  #onTimer(): void {
    const nowMs = performance.now();
    if (this.#endsAtMs - nowMs <= 1) {
      this.#finish(undefined);
      return;
    }
    // A timer may fire a hair early.
    const lateSinceMs = nowMs - this.#order.secondAskMs + 2;
    this.#askElsewhere(this.#shards.late(lateSinceMs), { free: false });
    this.#replaceLateCompares(lateSinceMs);
    this.#advance();
    if (!this.#over) this.#plan();
  }

  #replaceLateCompares(lateSinceMs: number): void {
    for (const { source, sinceMs, over } of this.#comparing) {
      if (over || source.state !== "counts" || sinceMs > lateSinceMs) continue;
      this.#line.silence.missed(source.server.id, performance.now());
      if (!this.#shards.hasOthersFor(source.shards) || !this.#line.mayAskAgain()) continue;
      this.#withdraw(source);
      this.#askElsewhere(source.shards, { free: true });
    }
  }

  /** @param candidates `undefined`: not complete */
  #finish(candidates: Candidate[] | undefined): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    for (const body of this.#bodies) body.fill(0);
    for (const { shards, comparing } of this.#sources) if (comparing > 0) this.#shards.open.addAll(shards);
    this.#line.ended(this);
    this.#order.resolve({
      complete: candidates !== undefined,
      missing: this.#shards.open.size,
      candidates: candidates ?? [],
      templates: this.#sources.reduce((sum, { templates }) => sum + templates, 0),
    });
  }
}

const SEARCH = "s";
const COMPARE = "c";
const NOTHING = new Uint8Array(0);
const UNREADABLE = bus.SearchStatus.SEARCH_STATUS_UNSPECIFIED;

/** Number of the compare that a part of a reply subject names. */
export const compareOf = (part: string): number | undefined =>
  part.startsWith(COMPARE) ? Number(part.slice(COMPARE.length)) : undefined;

/** Another worker would say the same of a wrong probe, and nobody works past the deadline. */
const isWorthAnother = (status: bus.SearchStatus) =>
  status !== bus.SearchStatus.MODEL_MISMATCH &&
  status !== bus.SearchStatus.PROBE_INVALID &&
  status !== bus.SearchStatus.PAST_DEADLINE;
