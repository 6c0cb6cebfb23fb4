// A search thread: the one owner of everything its shards have, with a NATS connection of its own.
//
// Invariants:
// - a search is answered inside the callback that received it: no hop to another thread, no lock;
// - a shard's own questions (member, applied) are listened to from when it is opened until it is let go: erasures must
//   reach a worker that still catches up;
// - the main thread hears every second how things stand, and at once when a shard is ready, or is so no more;
// - on "stop" what has come in is answered, everything is let go, and the thread's loop ends by itself.
import { join } from "node:path";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import type { Msg, NatsConnection, Subscription } from "@nats-io/transport-node";
import { type EventLog, openEventLog } from "../records/index.js";
import type { Organisation } from "../wire/directory.js";
import { toHex } from "../wire/hex.js";
import { openKeyring } from "../wire/keyring.js";
import { type Log, openLog } from "../wire/log.js";
import { LogClock } from "../wire/log-clock.js";
import { connectNats } from "../wire/nats.js";
import { ShardSet } from "../wire/shard.js";
import {
  appliedSubject,
  compareSubject,
  memberReadSubject,
  rowSearchSubject,
  workerSearchSubject,
} from "../wire/subjects.js";
import { AppliedDesk } from "./applied-desk.js";
import { answerCompare } from "./compare-request.js";
import { threadFolder } from "./data-folder.js";
import { HeldShards } from "./held-shards.js";
import { answerMember } from "./member-request.js";
import { MemberStore } from "./member-store.js";
import { Members } from "./members.js";
import { answerSearch } from "./search-request.js";
import type { Identity } from "./serving.js";
import { Tally } from "./tally.js";
import type { FromThread, ThreadReport, ThreadSettings, ToThread } from "./thread-messages.js";

const REPORT_INTERVAL_MS = 1000;

class SearchThread {
  readonly #port: MessagePort;
  readonly #nc: NatsConnection;
  readonly #log: Log;
  readonly #identity: Identity;
  readonly #clock: LogClock;
  readonly #store: MemberStore;
  readonly #members: Members;
  readonly #shards: HeldShards;
  readonly #desk: AppliedDesk;
  readonly #tally = new Tally();
  readonly #ofWorker: Subscription[];
  readonly #ofShard = new Map<number, Subscription[]>();
  readonly #timer = setInterval(() => this.#report(), REPORT_INTERVAL_MS);
  #ofRow: Subscription | undefined;
  #organisations = new Map<string, Organisation>();
  #saidReady = "";

  constructor(settings: ThreadSettings, port: MessagePort, nc: NatsConnection, eventLog: EventLog, log: Log) {
    const { identity, masterKey, dataDir, engine, threads, mapSizeBytes } = settings;
    this.#port = port;
    this.#nc = nc;
    this.#log = log;
    this.#identity = identity;
    const keyring = openKeyring(masterKey, (name) => this.#organisations.get(name)?.keys ?? []);
    const clock = LogClock.follow(nc, keyring);
    const tally = this.#tally;
    const store = new MemberStore({ path: join(dataDir, threadFolder(identity.thread)), mapSizeBytes });
    const members = new Members({
      ...{ store, engine, threads, log },
      onSkipped: (reason) => tally.skipped(reason),
    });
    this.#shards = new HeldShards({
      ...{ identity, members, eventLog, keyring, clock, log },
      onApplied: (events) => tally.applied(events),
      onKeyRefused: (code) => tally.keyRefused(code),
      onChanged: () => this.#changed(),
    });
    this.#clock = clock;
    this.#store = store;
    this.#members = members;
    this.#desk = new AppliedDesk(this.#shards, identity);
    this.#ofWorker = [
      this.#listen(workerSearchSubject(identity.workerId), (message) => this.#search(message)),
      this.#listen(compareSubject(identity.workerId, identity.thread), (message) => this.#compare(message)),
    ];
    port.on("message", (order: ToThread) => this.#obey(order));
    this.#say({ type: "started", held: [...this.#shards.held] });
  }

  #obey(order: ToThread): void {
    switch (order.type) {
      case "directory":
        this.#organisations = new Map(order.organisations.map((each) => [each.name, each]));
        this.#shards.setGalleries(order.galleries);
        break;
      case "row":
        this.#setRow(order.row);
        break;
      case "open":
        this.#shards.open(order.shards);
        for (const shard of order.shards) this.#listenTo(shard);
        break;
      case "close":
        void this.#close(order.shards);
        break;
      case "stop":
        void this.#stop();
    }
  }

  #search(message: Msg): void {
    const answer = answerSearch(this.#shards, message.data);
    if (answer === undefined) return;
    const { status, searchMs, reply } = answer;
    message.respond(reply);
    if (this.#tally.search(status, searchMs)) this.#report();
  }

  #compare(message: Msg): void {
    const { status, reply } = answerCompare(this.#shards, message.data);
    message.respond(reply);
    this.#tally.compare(status);
  }

  #setRow(row: number | undefined): void {
    const left = this.#ofRow;
    this.#ofRow =
      row === undefined ? undefined : this.#listen(rowSearchSubject(row), (message) => this.#search(message));
    if (left !== undefined) void this.#drain(left);
  }

  #listenTo(shard: number): void {
    if (this.#ofShard.has(shard)) return;
    const { workerId } = this.#identity;
    this.#ofShard.set(shard, [
      this.#listen(memberReadSubject(workerId, shard), (message) => {
        const { status, reply } = answerMember(this.#shards, shard, message.data);
        message.respond(reply);
        this.#tally.read(status);
      }),
      this.#listen(appliedSubject(workerId, shard), (message) =>
        this.#desk.ask(shard, message.data, (reply) => message.respond(reply)),
      ),
    ]);
  }

  async #close(shards: number[]): Promise<void> {
    await this.#shards.close(shards);
    for (const shard of shards) {
      for (const subscription of this.#ofShard.get(shard) ?? []) await this.#drain(subscription);
      this.#ofShard.delete(shard);
    }
    this.#report();
    this.#say({ type: "closed", shards });
  }

  async #stop(): Promise<void> {
    this.#setRow(undefined);
    const all = [...this.#ofWorker, ...[...this.#ofShard.values()].flat()];
    await Promise.all(all.map((subscription) => this.#drain(subscription)));
    this.#desk.close();
    clearInterval(this.#timer);
    this.#report();
    await this.#shards.stop();
    this.#clock.stop();
    await this.#store.close();
    await this.#nc.close();
    this.#port.close();
  }

  #listen(subject: string, answer: (message: Msg) => void): Subscription {
    return this.#nc.subscribe(subject, {
      callback: (error, message) => {
        if (error) return this.#log.error({ subject, error: String(error) }, "subscription");
        // An error that left this callback would end the whole connection.
        try {
          answer(message);
        } catch (failure) {
          this.#log.error({ subject, error: String(failure) }, "a request failed: a bug");
        }
      },
    });
  }

  async #drain(subscription: Subscription): Promise<void> {
    await subscription
      .drain()
      .catch((error: unknown) => this.#log.warn({ error: String(error) }, "drain failed"));
  }

  #changed(): void {
    this.#desk.changed();
    if (this.#readyNow() !== this.#saidReady) this.#report();
  }

  /** As text, to be compared. */
  #readyNow(): string {
    return `${toHex(this.#shards.ready().bytes())} ${this.#shards.anyStoreFull()}`;
  }

  #report(): void {
    this.#saidReady = this.#readyNow();
    const served = this.#shards.serving(ShardSet.all());
    const isServing = typeof served !== "string";
    const report: ThreadReport = {
      ...this.#tally.take(),
      ready: (isServing ? served.shards : new ShardSet()).bytes(),
      templates: this.#members.templates,
      members: this.#members.members,
      appliedSequence: isServing ? served.appliedSequence : 0,
      lag: this.#shards.lag,
      storeFull: this.#shards.anyStoreFull(),
      beatAgeMs: this.#shards.beatAgeMs(),
    };
    this.#say({ type: "report", report });
  }

  #say(message: FromThread): void {
    this.#port.postMessage(message);
  }
}

/** Orders that come while we connect wait in the port until it is listened to. */
async function run(settings: ThreadSettings, port: MessagePort): Promise<void> {
  const { identity, natsUrl } = settings;
  const name = `search-${identity.thread}`;
  const log = openLog("matcher", { worker: identity.workerId, thread: name });
  const nc = await connectNats({ url: natsUrl, name: `matcher ${identity.workerId} ${name}`, log });
  new SearchThread(settings, port, nc, await openEventLog(nc), log);
}

if (parentPort) await run(workerData as ThreadSettings, parentPort);
