// Searches a gallery: asks one row of workers, each of its threads once, gathers, and compares the best of all where
// they lie. (asking.ts is one search, from its first message to its result.)
//
// Invariants:
// - search() resolves at the latest at its deadline and never rejects;
// - one inbox subscription for the life of the process; one message for the whole first round of a row;
// - complete is said only when every shard was answered for by a worker that is current, in both rounds;
// - a second ask has a budget (second-asks.ts), a worker known to be silent costs none;
// - our copies of the probe, one for each message, are zeroed when the search ends.
import { randomFillSync } from "node:crypto";
import { createInbox, type Msg, type NatsConnection, type Subscription } from "@nats-io/transport-node";
import type { Signature } from "../palm/signature.js";
import type { Keyring } from "../wire/keyring.js";
import type { LogClock } from "../wire/log-clock.js";
import { Asking, compareOf, type Line, type SearchResult } from "./asking.js";
import type { Fleet, Row } from "./fleet.js";
import { readSearchReply } from "./messages.js";
import { SecondAsks } from "./second-asks.js";
import { Silence } from "./silence.js";

export interface SearchRequest {
  organisation: string;
  gallery: string;
  modelId: string;
  probe: Signature;
  /** From now. */
  deadlineMs: number;
}

export interface SearchCounts {
  searches: number;
  secondAsks: number;
  /** Second asks that the budget did not allow. */
  secondAsksRefused: number;
  /** Answers that were no answers: malformed, out of range, facts that did not open. */
  answersDropped: number;
}

/** Well above a healthy worker's answer, well below the budget of a frame. */
const SECOND_ASK_MS = 60;
const NO_RESPONDERS_STATUS = 503;
const NONCE_BYTES = 16;
/** Asking the system for 16 bytes costs as much as for 4096. */
const NONCES_PER_FILL = 256;

export class SearchClient {
  readonly counts: SearchCounts = { searches: 0, secondAsks: 0, secondAsksRefused: 0, answersDropped: 0 };
  readonly #nats: NatsConnection;
  readonly #fleet: Fleet;
  readonly #clock: Pick<LogClock, "nowUnixMs">;
  readonly #inbox = createInbox();
  readonly #subscription: Subscription;
  readonly #askings = new Map<string, Asking>();
  /** Searches of ours under way, by row. */
  readonly #underWay: number[] = [];
  readonly #silence = new Silence();
  readonly #secondAsks = new SecondAsks();
  readonly #line: Line;
  readonly #secondAskMs: number;
  #nextToken = 0;
  #random = new Uint8Array(0);

  constructor(
    nats: NatsConnection,
    fleet: Fleet,
    keyring: Pick<Keyring, "busKey">,
    clock: Pick<LogClock, "nowUnixMs">,
    { secondAskMs = SECOND_ASK_MS }: { secondAskMs?: number } = {},
  ) {
    this.#secondAskMs = secondAskMs;
    this.#nats = nats;
    this.#fleet = fleet;
    this.#clock = clock;
    this.#subscription = nats.subscribe(`${this.#inbox}.*.*`, {
      callback: (error, message) => {
        if (error === null) this.#onReply(message);
      },
    });
    this.#line = {
      fleet,
      keyring,
      silence: this.#silence,
      mayAskAgain: () => this.#mayAskAgain(),
      dropped: () => {
        this.counts.answersDropped += 1;
      },
      publish: (asking, subject, body, part) => this.#publish(asking, subject, body, part),
      ended: (asking) => this.#onEnded(asking),
    };
  }

  /** Searches the whole gallery. */
  search(request: SearchRequest): Promise<SearchResult> {
    return new Promise((resolve) => {
      this.counts.searches += 1;
      this.#secondAsks.earn();
      const { organisation, gallery, modelId, probe, deadlineMs } = request;
      const deadlineUnixMs = Math.ceil(this.#clock.nowUnixMs() + deadlineMs);
      const row = this.#chooseRow();
      if (row !== undefined) this.#underWay[row.row] = (this.#underWay[row.row] ?? 0) + 1;
      const asking = new Asking(
        {
          token: (this.#nextToken++).toString(36),
          head: { organisation, gallery, modelId, deadlineUnixMs },
          probe,
          nonce: this.#newNonce(),
          deadlineMs,
          secondAskMs: this.#secondAskMs,
          row,
          resolve,
        },
        this.#line,
      );
      this.#askings.set(asking.token, asking);
      asking.begin();
    });
  }

  /** Searches under way. */
  get active(): number {
    return this.#askings.size;
  }

  /** Ends every search with what it has and gives the subscription back. */
  close(): void {
    for (const asking of [...this.#askings.values()]) asking.giveUp();
    this.#subscription.unsubscribe();
  }

  /** The least busy of the rows that look whole; where none does, the one with the most. */
  #chooseRow(): Row | undefined {
    const nowMs = performance.now();
    let best: { row: Row; shards: number; busy: number } | undefined;
    for (const row of this.#fleet.rows()) {
      const shards = this.#shardsOf(row, nowMs);
      const busy = this.#underWay[row.row] ?? 0;
      const isBetter =
        best === undefined || shards > best.shards || (shards === best.shards && busy < best.busy);
      if (shards > 0 && isBetter) best = { row, shards, busy };
    }
    return best?.row;
  }

  #shardsOf({ servers, ready }: Row, nowMs: number): number {
    if (servers.every(({ id }) => !this.#silence.silent(id, nowMs))) return ready.size;
    return servers.reduce(
      (sum, { id, ready: own }) => sum + (this.#silence.silent(id, nowMs) ? 0 : own.size),
      0,
    );
  }

  #mayAskAgain(): boolean {
    const may = this.#secondAsks.take();
    if (may) this.counts.secondAsks += 1;
    else this.counts.secondAsksRefused += 1;
    return may;
  }

  #publish(asking: Asking, subject: string, body: Uint8Array, part: string): void {
    if (!this.#nats.isClosed())
      this.#nats.publish(subject, body, { reply: `${this.#inbox}.${asking.token}.${part}` });
  }

  #onReply(message: Msg): void {
    const [token = "", part = ""] = message.subject.slice(this.#inbox.length + 1).split(".");
    const asking = this.#askings.get(token);
    if (message.headers?.code === NO_RESPONDERS_STATUS) {
      asking?.nobodyThere(part);
      return;
    }
    const compare = compareOf(part);
    if (compare !== undefined) {
      asking?.onCompareReply(compare, message.data);
      return;
    }
    // Read also when its search has ended: whoever answers late is not silent.
    const answer = readSearchReply(message.data);
    if (answer === undefined) {
      this.counts.answersDropped += 1;
      return;
    }
    this.#silence.heard(answer.workerId);
    asking?.onSearchReply(answer, part);
  }

  #newNonce(): Uint8Array {
    if (this.#random.length === 0)
      this.#random = randomFillSync(new Uint8Array(NONCES_PER_FILL * NONCE_BYTES));
    const nonce = this.#random.slice(0, NONCE_BYTES);
    this.#random = this.#random.subarray(NONCE_BYTES);
    return nonce;
  }

  #onEnded({ token, row }: Asking): void {
    this.#askings.delete(token);
    if (row !== undefined) this.#underWay[row.row] = Math.max(0, (this.#underWay[row.row] ?? 0) - 1);
  }
}
