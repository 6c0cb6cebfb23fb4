// This worker among the others: says what it serves, hears what they serve, claims a slot, and opens and lets go of shards
// accordingly.
//
// Invariants:
// - the plan is made anew after every change (directory, claims, workers, our own shards) and every second: nothing that
//   was missed is missed for ever; one plan is carried out at a time;
// - the record of holders names a shard before the first byte of it is read here, until after the last one is gone;
// - others hear of us every second, at once when shards became ready or are so no more, and at once when we leave;
// - who leaves keeps slot and shards: back within minutes, nothing has moved.
import type { NatsConnection } from "@nats-io/transport-node";
import { type Holders, openHolders } from "../records/index.js";
import type { bus } from "../wire/codec.js";
import type { Directory } from "../wire/directory.js";
import { FLEET_HEARTBEAT_INTERVAL_MS } from "../wire/limits.js";
import { watchLink } from "../wire/link.js";
import type { Log } from "../wire/log.js";
import type { LogClock } from "../wire/log-clock.js";
import { ShardSet } from "../wire/shard.js";
import { openWorkerAnnouncer, type WorkerAnnouncer, watchWorkers } from "../wire/workers.js";
import { type OneAtATime, oneAtATime } from "./one-at-a-time.js";
import { planClaim, planShards, type ShardOrder, type Slot, slotKey } from "./plan.js";
import { openSlots, type Slots } from "./slots.js";
import type { SearchThreads } from "./threads.js";

const MAX_UINT32 = 2 ** 32 - 1;
/** After a start or a lost link others may be as late as we are: nobody whom we have not heard since is silent before. */
const RETURN_GRACE_MS = 15_000;

export interface MembershipOptions {
  nc: NatsConnection;
  self: { workerId: string; instance: string; startedUnixMs: number };
  directory: Directory;
  clock: LogClock;
  threads: SearchThreads;
  /** Every thread knows what its disk holds. Nothing is planned before. */
  started: Promise<void>;
  threadCount: number;
  log: Log;
}

export class Membership {
  readonly #options: MembershipOptions;
  readonly #announcer: WorkerAnnouncer;
  readonly #holders: Holders;
  readonly #heartbeat: OneAtATime;
  readonly #planning: OneAtATime;
  readonly #stops: (() => void | Promise<void>)[] = [];
  /** When each worker was last heard, by our monotonic clock; from the moment on that we listen (again). */
  readonly #lastHeardMs = new Map<string, number>();
  #listeningSinceMs = performance.now();
  #slots: Slots | undefined;
  #workers: bus.WorkerState[] = [];
  #slot: Slot | undefined;
  /** What the record of holders says of us, as far as we know: at first anything. */
  #recorded = ShardSet.all();
  #leaving = false;

  private constructor(options: MembershipOptions) {
    const { nc, log } = options;
    this.#options = options;
    this.#announcer = openWorkerAnnouncer(nc, log);
    this.#holders = openHolders(nc, () => options.clock.nowUnixMs());
    this.#heartbeat = oneAtATime(async () => {
      if (!this.#leaving) await this.#announcer.say(this.#state());
    });
    this.#planning = oneAtATime(() =>
      this.#carryOutPlan().catch((error: unknown) =>
        log.warn({ error: String(error) }, "the plan is not carried out; trying again"),
      ),
    );
  }

  /** Resolves when others are heard, and others can hear us. */
  static async open(options: MembershipOptions): Promise<Membership> {
    const membership = new Membership(options);
    try {
      await membership.#join();
    } catch (error) {
      await membership.stop({ farewell: false });
      throw error;
    }
    return membership;
  }

  get slot(): Slot | undefined {
    return this.#slot;
  }

  /** To be called when shards of ours became ready, or are so no more, or were closed. */
  changed(): void {
    if (this.#leaving || this.#slots === undefined) return;
    this.#heartbeat.call();
    this.#planning.call();
  }

  /** Says that nothing is served here any more: nobody asks us from now on. */
  async leave(): Promise<void> {
    if (this.#leaving) return;
    this.#leaving = true;
    await Promise.all([this.#heartbeat.idle(), this.#planning.idle()]);
    await this.#announcer.say({ ...this.#state(), shardsReady: new ShardSet().bytes() });
  }

  /** Says and hears nothing any more. @param farewell none where a twin goes on under the same name */
  async stop({ farewell }: { farewell: boolean }): Promise<void> {
    this.#leaving = true;
    if (farewell) await this.#announcer.leave(this.#options.self.workerId);
    for (const stop of this.#stops.splice(0)) await stop();
  }

  async #join(): Promise<void> {
    const { nc, directory, threads, started, log } = this.#options;
    this.#stops.push(watchLink(nc, { lost: () => this.#listenAnew(), back: () => this.#listenAnew() }));
    const opening = openSlots(nc, () => this.changed(), log).then((slots) => {
      this.#stops.push(() => slots.close());
      return slots;
    });
    // Others first: whoever does not know them yet would take them for silent.
    const [slots] = await Promise.all([opening, this.#hearAll(), started]);
    this.#slots = slots;
    const tellThreads = () => threads.setDirectory(directory.organisations(), directory.galleries());
    tellThreads();
    this.#stops.push(
      directory.onChange(() => {
        tellThreads();
        this.changed();
      }),
    );
    const timer = setInterval(() => this.changed(), FLEET_HEARTBEAT_INTERVAL_MS);
    this.#stops.push(() => clearInterval(timer));
    this.changed();
  }

  /** Resolves when all have been heard once. */
  #hearAll(): Promise<void> {
    const { nc, log } = this.#options;
    return new Promise((resolve) => {
      const workers = watchWorkers(
        nc,
        (states) => {
          this.#hear(states);
          resolve();
        },
        log,
      );
      this.#stops.push(() => workers.stop());
    });
  }

  #hear(states: bus.WorkerState[]): void {
    // Who was there before this news was heard until now.
    for (const { workerId } of [...this.#workers, ...states])
      this.#lastHeardMs.set(workerId, performance.now());
    this.#workers = states;
    this.changed();
  }

  /** Since that worker was last heard; negative while one that we have not heard yet may just be late. */
  #silentMs(workerId: string): number {
    const since = this.#lastHeardMs.get(workerId) ?? this.#listeningSinceMs + RETURN_GRACE_MS;
    return performance.now() - since;
  }

  #listenAnew(): void {
    this.#lastHeardMs.clear();
    this.#listeningSinceMs = performance.now();
  }

  async #carryOutPlan(): Promise<void> {
    const { self, directory, threads, threadCount } = this.#options;
    const fleet = directory.fleet();
    const slots = this.#slots;
    if (fleet === undefined || slots === undefined || this.#leaving || !slots.current()) return;
    await this.#settleClaim(slots);
    if (this.#leaving) return;
    const plan = planShards({
      self: self.workerId,
      fleet,
      slot: this.#slot,
      claims: slots.claims(),
      workers: this.#workers,
      threads: threadCount,
      held: threads.held(),
    });
    await this.#open(plan.open);
    if (plan.close.length > 0) {
      this.#options.log.info({ shards: plan.close.length }, "letting go: others serve these shards");
      threads.close(plan.close);
    }
    await this.#narrowRecord();
  }

  async #settleClaim(slots: Slots): Promise<void> {
    const { self, directory, clock, log } = this.#options;
    const { workerId, instance } = self;
    const fleet = directory.fleet();
    if (fleet === undefined) return;
    const step = planClaim({
      self: workerId,
      fleet,
      claims: slots.claims(),
      workers: this.#workers,
      silentMs: (other) => this.#silentMs(other),
    });
    if (step.kind === "RELEASE") await slots.release(step.claim);
    if (step.kind === "TAKE") {
      const claimant = { workerId, instance, claimedUnixMs: clock.nowUnixMs() };
      const isTaken = await slots.take(step.slot, step.revision, claimant);
      if (isTaken) log.info({ slot: slotKey(step.slot), from: step.from }, "slot claimed");
    }
    this.#setSlot(step.kind === "KEEP" ? { row: step.claim.row, slot: step.claim.slot } : undefined);
  }

  #setSlot(slot: Slot | undefined): void {
    const { threads, log } = this.#options;
    const before = this.#slot;
    if (before?.row === slot?.row && before?.slot === slot?.slot) return;
    this.#slot = slot;
    threads.setRow(slot?.row);
    this.#heartbeat.call();
    if (before !== undefined && slot === undefined)
      log.warn({ slot: slotKey(before) }, "the slot is another's now");
  }

  async #open(orders: readonly ShardOrder[]): Promise<void> {
    if (orders.length === 0) return;
    const { self, threads } = this.#options;
    const wanted = new ShardSet(orders.map(({ shard }) => shard));
    // Written even where it should stand there already: the record may have been lost.
    await this.#holders.widen(self.workerId, wanted);
    this.#recorded.addAll(wanted);
    if (!this.#leaving) threads.open(orders);
  }

  /** What stands in the record and is here no more goes out of it. */
  async #narrowRecord(): Promise<void> {
    const gone = this.#recorded.copy();
    gone.deleteAll(this.#options.threads.state().held);
    if (gone.isEmpty) return;
    await this.#holders.narrow(this.#options.self.workerId, gone);
    this.#recorded.deleteAll(gone);
  }

  #state(): bus.IWorkerState {
    const { self, threads, threadCount } = this.#options;
    const { ready, held, threadShards, beatAgeMs, ...counts } = threads.state();
    const { templates, members, appliedSequence, storeFull } = counts;
    return {
      ...self,
      hasSlot: this.#slot !== undefined,
      row: this.#slot?.row ?? 0,
      slot: this.#slot?.slot ?? 0,
      threads: threadCount,
      shardsReady: ready.bytes(),
      shardsOpen: held.bytes(),
      threadShards: threadShards.map((shards) => shards.bytes()),
      ...{ templates, members, appliedSequence, storeFull },
      beatAgeMs: Math.min(MAX_UINT32, Math.floor(beatAgeMs)),
    };
  }
}
