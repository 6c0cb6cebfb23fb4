// All shards that a thread has: opened, answered for, and let go.
//
// Invariants:
// - a shard is held from before the first byte of it is read until after the last one is gone;
// - an answer names exactly those of the wanted shards that have caught up and are current;
// - shards that stand at about the same place in the log read it together; one that is added later reads it alone, from
//   the start;
// - what cannot be opened or wiped now is tried again until it is done or no longer wanted.
import { setTimeout as sleep } from "node:timers/promises";
import type { DataKeyRefusal, EventLog, MemberKeys } from "../records/index.js";
import type { Gallery } from "../wire/directory.js";
import { fromHex } from "../wire/hex.js";
import type { Keyring } from "../wire/keyring.js";
import type { Log } from "../wire/log.js";
import type { LogClock } from "../wire/log-clock.js";
import { ShardSet, shardOf } from "../wire/shard.js";
import type { AppliedSource } from "./applied-desk.js";
import type { Members } from "./members.js";
import type { Identity, KnownMember, Served, ServingThread } from "./serving.js";
import { ShardGroup } from "./shard-group.js";
import { Slices } from "./slices.js";

const RETRY_MS = 1000;
/** Shards at most this many events apart read the log together, from the place of the hindmost. */
const TOGETHER_WITHIN_EVENTS = 20_000;

export interface HeldShardsOptions {
  identity: Identity;
  members: Members;
  eventLog: EventLog;
  keyring: Keyring;
  clock: LogClock;
  log: Log;
  onApplied(events: number): void;
  onKeyRefused(code: DataKeyRefusal): void;
  /** Shards moved on, became ready, or the disk filled up or has room again. */
  onChanged(): void;
}

/** Shards that are on their way to be a group, or are one. */
interface Unit {
  shards: ShardSet;
  stopping: AbortController;
  /** `undefined` where it was stopped before that. */
  opened: Promise<ShardGroup | undefined>;
  group: ShardGroup | undefined;
  /** The disk has no room to begin with. */
  storeFull: boolean;
}

export class HeldShards implements ServingThread, AppliedSource {
  readonly identity: Identity;
  readonly #options: HeldShardsOptions;
  readonly #units = new Set<Unit>();
  /** On the disk, opened or not; the store's own list is the truth at start. */
  readonly #held: ShardSet;
  readonly #stopping = new AbortController();
  /** Orders to let go, and news of the directory, one after another. */
  #orders: Promise<void> = Promise.resolve();

  constructor(options: HeldShardsOptions) {
    this.#options = options;
    this.identity = options.identity;
    this.#held = new ShardSet(options.members.store.positions().keys());
  }

  get held(): ShardSet {
    return this.#held;
  }

  /** Caught up and current. */
  ready(): ShardSet {
    const served = this.serving(ShardSet.all());
    return typeof served === "string" ? new ShardSet() : served.shards;
  }

  /** The disk refuses what a shard must write next. */
  anyStoreFull(): boolean {
    return [...this.#units].some(({ group, storeFull }) => group?.storeFull ?? storeFull);
  }

  get lag(): number {
    return this.#groups().reduce((sum, group) => sum + group.lag, 0);
  }

  /** Of the hindmost; infinite where one has applied none; 0 where nothing is open. */
  beatAgeMs(): number {
    return Math.max(
      0,
      ...[...this.#units].map(({ group }) => group?.beatAgeMs() ?? Number.POSITIVE_INFINITY),
    );
  }

  nowUnixMs(): number {
    return this.#options.clock.nowUnixMs();
  }

  serving(wanted: ShardSet): Served | "NOT_HERE" | "NOT_READY" | "NOT_CURRENT" {
    if (this.#held.and(wanted).isEmpty) return "NOT_HERE";
    const shards = new ShardSet();
    let appliedSequence = Number.POSITIVE_INFINITY;
    let refusal: "NOT_READY" | "NOT_CURRENT" = "NOT_READY";
    for (const group of this.#groups()) {
      if (!group.caughtUp) continue;
      const here = group.shards.and(wanted);
      if (here.isEmpty) continue;
      refusal = "NOT_CURRENT";
      if (!group.current()) continue;
      shards.addAll(here);
      appliedSequence = Math.min(appliedSequence, group.appliedSequence);
    }
    return shards.isEmpty ? refusal : { shards, appliedSequence };
  }

  asideIn(organisation: string, gallery: string): ShardSet {
    return this.#options.members.asideIn(organisation, gallery);
  }

  segment(organisation: string, gallery: string) {
    return this.#options.members.segment(organisation, gallery);
  }

  member(organisation: string, member: string): KnownMember {
    return this.#options.members.read(organisation, member, this.#keysOf(member)?.get(member));
  }

  factsKey(organisation: string): Uint8Array {
    return this.#options.keyring.busKey("facts", organisation);
  }

  appliedSequence(shard: number): number {
    return this.#groupOf(shard)?.appliedSequence ?? 0;
  }

  isEntered(sequence: number): boolean {
    return this.#options.members.isEntered(sequence);
  }

  storeFull(shard: number): boolean {
    const unit = this.#unitOf(shard);
    return unit?.group?.storeFull ?? unit?.storeFull ?? false;
  }

  holds(member: string): boolean {
    return this.#options.members.holds(member);
  }

  forgetKey(member: string): void {
    this.#keysOf(member)?.forget(member);
  }

  setGalleries(galleries: readonly Gallery[]): void {
    this.#options.members.setGalleries(galleries);
    this.#retryAside();
  }

  /** Starts to read these shards in; `onChanged` tells when they have caught up. */
  open(shards: readonly number[]): void {
    const closed = shards.filter((shard) => this.#unitOf(shard) === undefined);
    for (const shard of closed) this.#held.add(shard);
    for (const together of clusters(this.#options.members.store.positions(), closed))
      this.#openUnit(together);
  }

  /** Resolves when nothing of these shards is left in memory and on disk; it is tried until then. */
  close(shards: readonly number[]): Promise<void> {
    return this.#inOrder(async () => {
      const leaving = new ShardSet(shards);
      for (const unit of [...this.#units]) await this.#persist(() => this.#narrow(unit, leaving));
      for (const shard of shards) {
        await this.#persist(async () => {
          if (!(await this.#options.members.wipe(shard, new Slices())))
            throw new Error("the disk refuses writes");
        });
        if (!this.#stopping.signal.aborted) this.#held.delete(shard);
      }
    });
  }

  /** Ends, and leaves everything on the disk. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const unit of this.#units) unit.stopping.abort();
    await this.#orders;
    await Promise.all([...this.#units].map(async ({ opened }) => await (await opened)?.close()));
    this.#units.clear();
  }

  #openUnit(shards: ShardSet): void {
    const stopping = new AbortController();
    const unit: Unit = {
      shards,
      stopping,
      opened: Promise.resolve(undefined),
      group: undefined,
      storeFull: false,
    };
    unit.opened = this.#openGroup(unit);
    this.#units.add(unit);
  }

  /** Opens a group, again and again if need be, until it is open or no longer wanted. */
  async #openGroup(unit: Unit): Promise<ShardGroup | undefined> {
    const { members, log } = this.#options;
    const stopped = unit.stopping.signal;
    while (!stopped.aborted) {
      try {
        const held = members.store.hold(unit.shards);
        unit.storeFull = !held.ok;
        if (!held.ok) throw new Error(`the disk refuses writes: ${held.detail}`);
        const positions = members.store.positions();
        const afterSequence = Math.min(...[...unit.shards].map((shard) => positions.get(shard) ?? 0));
        const options = { ...this.#options, shards: unit.shards, afterSequence };
        unit.group = await ShardGroup.open(options, stopped);
        // What the directory told meanwhile.
        this.#retryAside();
        this.#options.onChanged();
        return unit.group;
      } catch (error) {
        if (stopped.aborted) return undefined;
        log.error({ error: String(error) }, "shards cannot be opened; trying again");
        await sleep(RETRY_MS, undefined, { signal: stopped }).catch(() => {});
      }
    }
    return undefined;
  }

  /** Goes on with the unit's other shards alone. */
  async #narrow(unit: Unit, leaving: ShardSet): Promise<void> {
    const rest = new ShardSet([...unit.shards].filter((shard) => !leaving.has(shard)));
    if (rest.size === unit.shards.size) return;
    if (unit.group === undefined) unit.stopping.abort();
    const group = await unit.opened;
    if (group !== undefined && rest.size > 0) {
      await group.narrow(rest);
      unit.shards = rest;
      return;
    }
    await group?.close();
    this.#units.delete(unit);
    if (rest.size > 0) this.#openUnit(rest);
  }

  #retryAside(): void {
    void this.#inOrder(() =>
      this.#persist(async () => {
        await this.#options.members.retryAside((shard) => this.#groupOf(shard)?.keys, new Slices());
        this.#options.onChanged();
      }),
    );
  }

  /** Until it is done, or the thread ends. */
  async #persist(act: () => Promise<void>): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        return await act();
      } catch (error) {
        this.#options.log.error({ error: String(error) }, "an order to shards failed; trying again");
        await sleep(RETRY_MS, undefined, { signal }).catch(() => {});
      }
    }
  }

  #inOrder(act: () => Promise<void>): Promise<void> {
    this.#orders = this.#orders
      .then(act)
      .catch((error: unknown) =>
        this.#options.log.error({ error: String(error) }, "an order to shards failed"),
      );
    return this.#orders;
  }

  #groups(): ShardGroup[] {
    return [...this.#units].flatMap(({ group }) => group ?? []);
  }

  #unitOf(shard: number): Unit | undefined {
    return [...this.#units].find(({ shards }) => shards.has(shard));
  }

  #groupOf(shard: number): ShardGroup | undefined {
    return this.#unitOf(shard)?.group;
  }

  #keysOf(member: string): MemberKeys | undefined {
    return this.#groupOf(shardOf(fromHex(member)))?.keys;
  }
}

/** Shards that stand close together in the log, each lot from the hindmost on. */
function clusters(positions: ReadonlyMap<number, number>, shards: readonly number[]): ShardSet[] {
  const sorted = shards
    .map((shard) => ({ shard, at: positions.get(shard) ?? 0 }))
    .sort((a, b) => a.at - b.at);
  const lots: { from: number; shards: ShardSet }[] = [];
  for (const { shard, at } of sorted) {
    const lot = lots.at(-1);
    if (lot !== undefined && at - lot.from <= TOGETHER_WITHIN_EVENTS) lot.shards.add(shard);
    else lots.push({ from: at, shards: new ShardSet([shard]) });
  }
  return lots.map((lot) => lot.shards);
}
