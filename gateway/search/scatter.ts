// Asks every partition of a gallery at once and gathers the answers under one deadline.
//
// Invariants:
// - one inbox subscription for the life of the gateway, one timer per scatter, one encoding of the request for all
//   partitions;
// - a partition without an answer after SECOND_ASK_MS is asked once more (after a kill the other replica gets it);
//   the first valid answer of a partition counts, later ones change nothing;
// - our copy of the probe, the only one made here, is zeroed when the scatter ends;
// - ask() resolves at the latest at its deadline and never rejects; a partition that did not answer is named missing.
import { createInbox, type Msg, type NatsConnection, type Subscription } from "@nats-io/transport-node";
import type { Signature } from "../../palm/index.js";
import { bus, decode, encode, encodeSecrets } from "../../wire/codec.js";
import { MAX_CANDIDATES, MEMBER_ID_BYTES } from "../../wire/limits.js";
import { toHex } from "../../wire/partition.js";
import { searchSubject } from "../../wire/subjects.js";
import type { Candidate, ScatterResult } from "../seams.js";
import { mergeCandidates } from "./merge.js";

/** Well above a healthy partition's answer, well below the budget of a frame. */
const SECOND_ASK_MS = 60;
/** Members asked of each partition: the best, a rival of it, and one in reserve for a member that was just erased. */
export const CANDIDATES_PER_PARTITION = 3;
const NO_RESPONDERS_STATUS = 503;
/** Of bus.SearchRequest. */
const PROBE_FIELD = 2;
const LINES_FIELD = 4;
const CODES_FIELD = 5;

export interface ScatterRequest {
  gallery: string;
  partitions: number;
  modelId: string;
  probe: Signature;
  deadlineMs: number;
}

interface PartitionAnswer {
  candidates: Candidate[];
  templates: number;
}

/** One request under way to all partitions. */
interface Gathering {
  token: string;
  subjects: readonly string[];
  body: Uint8Array;
  answers: (PartitionAnswer | undefined)[];
  answered: number;
  /** Partitions that said at once that nobody is there, in the current ask. */
  refused: Set<number>;
  askedTwice: boolean;
  deadlineAtMs: number;
  timer: NodeJS.Timeout;
  resolve(result: ScatterResult): void;
}

export class Scatter {
  readonly #nats: NatsConnection;
  readonly #inbox = createInbox();
  readonly #subscription: Subscription;
  readonly #gatherings = new Map<string, Gathering>();
  readonly #subjects = new Map<string, readonly string[]>();
  #nextToken = 0;

  constructor(nats: NatsConnection) {
    this.#nats = nats;
    this.#subscription = nats.subscribe(`${this.#inbox}.*.*`, {
      callback: (error, message) => {
        if (error === null) this.#onReply(message);
      },
    });
  }

  /** Searches the whole gallery. */
  ask(request: ScatterRequest): Promise<ScatterResult> {
    if (this.#nats.isClosed()) return Promise.resolve(result(new Array(request.partitions).fill(undefined)));
    return new Promise((resolve) => {
      const token = (this.#nextToken++).toString(36);
      const gathering: Gathering = {
        token,
        subjects: this.#subjectsOf(request.gallery, request.partitions),
        body: encodeRequest(request),
        answers: new Array(request.partitions).fill(undefined),
        answered: 0,
        refused: new Set(),
        askedTwice: false,
        deadlineAtMs: performance.now() + request.deadlineMs,
        timer: setTimeout(() => this.#onTimer(gathering), Math.min(SECOND_ASK_MS, request.deadlineMs)),
        resolve,
      };
      this.#gatherings.set(token, gathering);
      this.#publish(gathering);
    });
  }

  /** Scatters under way. */
  get active(): number {
    return this.#gatherings.size;
  }

  /** Ends every scatter with what it has and gives the subscription back. */
  close(): void {
    for (const gathering of this.#gatherings.values()) this.#finish(gathering);
    this.#subscription.unsubscribe();
  }

  #subjectsOf(gallery: string, partitions: number): readonly string[] {
    const known = this.#subjects.get(gallery);
    if (known?.length === partitions) return known;
    const made = Array.from({ length: partitions }, (_, partition) => searchSubject(gallery, partition));
    this.#subjects.set(gallery, made);
    return made;
  }

  /** Asks every partition that has not answered yet. */
  #publish(gathering: Gathering): void {
    for (const [partition, subject] of gathering.subjects.entries()) {
      if (gathering.answers[partition] !== undefined) continue;
      this.#nats.publish(subject, gathering.body, {
        reply: `${this.#inbox}.${gathering.token}.${partition}`,
      });
    }
  }

  #onReply(message: Msg): void {
    const [token = "", index = ""] = message.subject.slice(this.#inbox.length + 1).split(".");
    const gathering = this.#gatherings.get(token);
    if (gathering === undefined) return; // answered after its scatter had ended
    const partition = Number(index);
    if (message.headers?.code === NO_RESPONDERS_STATUS) {
      this.#onNobodyThere(gathering, partition);
      return;
    }
    if (gathering.answers[partition] !== undefined) return;
    const answer = readAnswer(message.data, partition);
    if (answer === undefined) {
      this.#onNobodyThere(gathering, partition);
      return;
    }
    gathering.answers[partition] = answer;
    gathering.answered += 1;
    gathering.refused.delete(partition);
    this.#finishIfSettled(gathering);
  }

  /** Nobody serves the partition now, or who does is not ready. After the second ask there is nothing to wait for. */
  #onNobodyThere(gathering: Gathering, partition: number): void {
    if (gathering.answers[partition] !== undefined) return;
    gathering.refused.add(partition);
    this.#finishIfSettled(gathering);
  }

  #finishIfSettled(gathering: Gathering): void {
    const silent = gathering.answers.length - gathering.answered - gathering.refused.size;
    if (silent === 0 && (gathering.refused.size === 0 || gathering.askedTwice)) this.#finish(gathering);
  }

  #onTimer(gathering: Gathering): void {
    const leftMs = gathering.deadlineAtMs - performance.now();
    if (gathering.askedTwice || leftMs <= 1) {
      this.#finish(gathering);
      return;
    }
    gathering.askedTwice = true;
    gathering.refused.clear();
    gathering.timer = setTimeout(() => this.#onTimer(gathering), leftMs);
    if (!this.#nats.isClosed()) this.#publish(gathering);
  }

  #finish(gathering: Gathering): void {
    clearTimeout(gathering.timer);
    this.#gatherings.delete(gathering.token);
    gathering.body.fill(0);
    gathering.resolve(result(gathering.answers));
  }
}

function encodeRequest({ modelId, probe }: ScatterRequest): Uint8Array {
  const head = encode(bus.SearchRequest, { modelId, maxCandidates: CANDIDATES_PER_PARTITION });
  return encodeSecrets(head, [
    { number: PROBE_FIELD, bytes: bytesOf(probe.vector) },
    { number: LINES_FIELD, bytes: bytesOf(probe.lines) },
    { number: CODES_FIELD, bytes: bytesOf(probe.codes) },
  ]);
}

/** A view, no copy. */
const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | Uint32Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** `undefined`: not the answer of a partition that has searched. */
function readAnswer(bytes: Uint8Array, partition: number): PartitionAnswer | undefined {
  const reply = decode(bus.SearchReply, bytes);
  if (reply?.status !== bus.SearchStatus.SEARCHED || reply.partition !== partition) return undefined;
  if (reply.candidates.length > MAX_CANDIDATES) return undefined;
  const candidates: Candidate[] = [];
  for (const { memberId, similarity } of reply.candidates) {
    if (memberId?.length !== MEMBER_ID_BYTES || !Number.isFinite(similarity)) return undefined;
    candidates.push({ member: toHex(memberId), similarity: similarity ?? 0 });
  }
  return { candidates, templates: reply.templates };
}

function result(answers: (PartitionAnswer | undefined)[]): ScatterResult {
  const missing: number[] = [];
  const lists: Candidate[][] = [];
  let templates = 0;
  for (const [partition, answer] of answers.entries()) {
    if (answer === undefined) {
      missing.push(partition);
      continue;
    }
    lists.push(answer.candidates);
    templates += answer.templates;
  }
  return { complete: missing.length === 0, missing, candidates: mergeCandidates(lists), templates };
}
