// One search, from its first message to its result. Round one: every thread of a row answers handles of its nearest
// templates. Round two: the threads that hold the best of all compare them, and send the profile of their best.
//
// Invariants:
// - an answer counts for shards that nobody has answered for yet, and only for shards of the thread that gives it;
// - who does not answer within SECOND_ASK_MS, or says that it cannot, is replaced by another worker that serves the
//   same shards, once for each worker; its late answer still counts while no other has come;
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

/** Well above a healthy worker's answer, well below the budget of a frame. */
const SECOND_ASK_MS = 60;
const ALL_SHARDS = ShardSet.all();

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

/** A thread that was asked for its nearest. */
interface Waiting {
  server: Server;
  shards: ShardSet;
  sinceMs: number;
  late: boolean;
}

/** A thread that has answered with its nearest. */
interface Source {
  server: Server;
  thread: number;
  instance: string;
  /** That it counts for. */
  shards: ShardSet;
  near: Near[];
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
  readonly #open = ALL_SHARDS.copy();
  /** By number of the ask, worker and thread. */
  readonly #waiting = new Map<string, Waiting>();
  /** What each worker was asked for. */
  readonly #asked = new Map<string, ShardSet>();
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
  }

  begin(): void {
    const lacking = ALL_SHARDS.copy();
    if (this.row !== undefined) {
      this.#publishSearch(rowSearchSubject(this.row.row), undefined);
      for (const server of this.row.servers) {
        this.#expect(server, server.ready);
        if (!this.#isSilent(server)) lacking.deleteAll(server.ready);
      }
    }
    this.#askElsewhere(lacking, { free: true });
    this.#plan();
    this.#advance();
  }

  /** @param part as it was published */
  onSearchReply(answer: SearchAnswer, part: string): void {
    if (this.#over) return;
    const key = keyOf(part, answer.workerId, answer.thread);
    const waiting = this.#waiting.get(key);
    this.#waiting.delete(key);
    if (answer.ok) this.#accept(answer);
    const left = waiting?.shards.and(this.#open);
    if (left !== undefined && (answer.ok || isWorthAnother(answer.status))) {
      this.#askElsewhere(left, { free: false });
    }
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
    const gone = new ShardSet();
    for (const [key, { shards }] of this.#waiting) {
      if (!key.startsWith(`${part}/`)) continue;
      gone.addAll(shards);
      this.#waiting.delete(key);
    }
    this.#askElsewhere(gone.and(this.#open), { free: true });
    this.#advance();
  }

  /** Ends with what there is. */
  giveUp(): void {
    this.#finish(undefined);
  }

  #accept(answer: SearchAnswer & { ok: true }): void {
    const server = this.#line.fleet.server(answer.workerId);
    const own = server?.threads[answer.thread];
    if (server === undefined || own === undefined || !own.hasAll(answer.shards)) {
      this.#line.dropped();
      return;
    }
    const shards = answer.shards.and(this.#open);
    if (shards.isEmpty) return;
    this.#open.deleteAll(shards);
    const { thread, instance, near, templates } = answer;
    const none = { asked: new Set<number>(), answers: [], comparing: 0, state: "counts" as const };
    this.#sources.push({ server, thread, instance, shards, near, templates, ...none });
    this.#toChoose = true;
  }

  /** Goes on as far as what has come allows. */
  #advance(): void {
    if (this.#over) return;
    if (!this.#open.isEmpty) {
      const isHopeless = this.#waiting.size === 0 && this.#comparing.every(({ over }) => over);
      if (isHopeless) this.#finish(undefined);
      return;
    }
    if (this.#toChoose) this.#compareBest();
    if (this.#sources.every(({ comparing }) => comparing === 0)) this.#conclude();
  }

  /** The best of all that are known, where they lie. */
  #compareBest(): void {
    this.#toChoose = false;
    const best = this.#sources
      .flatMap((source) => source.near.map((near) => ({ source, ...near })))
      .sort((a, b) => b.similarity - a.similarity)
      .slice(0, NEAREST);
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
      this.#askElsewhere(shards.and(this.#open), { free: false });
    }
  }

  #withdraw(source: Source): void {
    source.state = "late";
    this.#sources = this.#sources.filter((each) => each !== source);
    this.#open.addAll(source.shards);
  }

  /** It was given up for its lateness, and has answered before whoever was asked instead. */
  #countAgain(source: Source): void {
    if (source.comparing > 0 || !this.#open.hasAll(source.shards)) return;
    source.state = "counts";
    this.#open.deleteAll(source.shards);
    this.#sources.push(source);
  }

  /** Asks other workers for these shards, as far as there are any and the budget allows. */
  #askElsewhere(shards: ShardSet, { free }: { free: boolean }): void {
    if (shards.isEmpty) return;
    const wanted = new Map<Server, ShardSet>();
    for (const shard of shards) {
      const server = this.#anotherFor(shard);
      if (server === undefined) continue;
      const those = wanted.get(server) ?? new ShardSet();
      those.add(shard);
      wanted.set(server, those);
    }
    for (const [server, those] of wanted) if (free || this.#line.mayAskAgain()) this.#ask(server, those);
  }

  #anotherFor(shard: number): Server | undefined {
    return this.#line.fleet
      .servers(shard)
      .find((server) => !this.#asked.get(server.id)?.has(shard) && !this.#isSilent(server));
  }

  #ask(server: Server, shards: ShardSet): void {
    this.#publishSearch(workerSearchSubject(server.id), shards);
    this.#expect(server, shards);
  }

  #publishSearch(subject: string, shards: ShardSet | undefined): void {
    const body = encodeSearch(this.#order.head, this.#order.probe, shards);
    this.#bodies.push(body);
    this.#asks += 1;
    this.#line.publish(this, subject, body, `${SEARCH}${this.#asks}`);
  }

  /** Answers of this worker to the ask that just went out. */
  #expect(server: Server, shards: ShardSet): void {
    const asked = this.#asked.get(server.id) ?? new ShardSet();
    asked.addAll(shards);
    this.#asked.set(server.id, asked);
    const sinceMs = performance.now();
    for (const [thread, own] of server.threads.entries()) {
      const those = own.and(shards);
      if (those.isEmpty) continue;
      const key = keyOf(`${SEARCH}${this.#asks}`, server.id, thread);
      this.#waiting.set(key, { server, shards: those, sinceMs, late: false });
    }
  }

  #plan(): void {
    const leftMs = this.#endsAtMs - performance.now();
    this.#timer = setTimeout(() => this.#onTimer(), Math.max(0, Math.min(SECOND_ASK_MS, leftMs)));
  }

  #onTimer(): void {
    const nowMs = performance.now();
    if (this.#endsAtMs - nowMs <= 1) {
      this.#finish(undefined);
      return;
    }
    this.#replaceLateAnswers(nowMs);
    this.#replaceLateCompares(nowMs);
    this.#advance();
    if (!this.#over) this.#plan();
  }

  #replaceLateAnswers(nowMs: number): void {
    const late = new ShardSet();
    for (const waiting of this.#waiting.values()) {
      if (waiting.late || !isLate(waiting, nowMs)) continue;
      waiting.late = true;
      this.#line.silence.missed(waiting.server.id, nowMs);
      late.addAll(waiting.shards);
    }
    this.#askElsewhere(late.and(this.#open), { free: false });
  }

  #replaceLateCompares(nowMs: number): void {
    for (const { source, sinceMs, over } of this.#comparing) {
      if (over || source.state !== "counts" || !isLate({ sinceMs }, nowMs)) continue;
      this.#line.silence.missed(source.server.id, nowMs);
      if (![...source.shards].every((shard) => this.#anotherFor(shard) !== undefined)) continue;
      if (!this.#line.mayAskAgain()) continue;
      this.#withdraw(source);
      this.#askElsewhere(source.shards, { free: true });
    }
  }

  #isSilent = ({ id }: Server): boolean => this.#line.silence.silent(id, performance.now());

  /** @param candidates `undefined`: not complete */
  #finish(candidates: Candidate[] | undefined): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    for (const body of this.#bodies) body.fill(0);
    for (const { shards, comparing } of this.#sources) if (comparing > 0) this.#open.addAll(shards);
    this.#line.ended(this);
    this.#order.resolve({
      complete: candidates !== undefined,
      missing: this.#open.size,
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

const keyOf = (part: string, workerId: string, thread: number) => `${part}/${workerId}/${thread}`;

/** A timer may fire a hair early. */
const isLate = ({ sinceMs }: { sinceMs: number }, nowMs: number) => nowMs - sinceMs >= SECOND_ASK_MS - 2;

/** Another worker would say the same of a wrong probe, and nobody works past the deadline. */
const isWorthAnother = (status: bus.SearchStatus) =>
  status !== bus.SearchStatus.MODEL_MISMATCH &&
  status !== bus.SearchStatus.PROBE_INVALID &&
  status !== bus.SearchStatus.PAST_DEADLINE;
