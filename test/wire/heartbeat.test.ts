import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { bus } from "../../wire/codec.js";
import { type GatewayState, openGatewayAnnouncer, watchGateways } from "../../wire/gateways.js";
import { openAnnouncer, watchHeartbeats } from "../../wire/heartbeat.js";
import { FLEET_HEARTBEAT_TTL_MS } from "../../wire/limits.js";
import { openWorkerAnnouncer, watchWorkers } from "../../wire/workers.js";
import { type BusRig, log, openBusRig } from "./support/rig.js";

const text = (value: Uint8Array) => Buffer.from(value).toString();
const bytes = (value: string) => Buffer.from(value);

describe("heartbeats", () => {
  let rig: BusRig;
  let buckets = 0;
  beforeAll(async () => {
    rig = await openBusRig();
  });
  afterAll(() => rig.close());

  async function watched(nc = rig.nc, bucket = `hb_${buckets++}`) {
    const told: Record<string, string>[] = [];
    const watch = watchHeartbeats(nc, {
      bucket,
      what: "thing",
      log,
      read: (_key, value) => (text(value) === "nonsense" ? undefined : text(value)),
      onChange: (alive) => told.push(Object.fromEntries(alive)),
    });
    rig.defer(() => watch.stop());
    const announcer = openAnnouncer(rig.nc, bucket, log);
    /** Says it again and again, as a living process does. */
    const live = (key: string, value: string) => {
      const say = () => void announcer.say(key, bytes(value));
      say();
      const timer = setInterval(say, 500);
      const end = () => clearInterval(timer);
      rig.defer(end);
      return end;
    };
    return { watch, told, announcer, live, bucket, now: () => Object.fromEntries(watch.alive()) };
  }

  it("tell once who is there, and then what changes only", async () => {
    const first = await watched();
    first.live("a", "1");
    await first.announcer.say("b", bytes("2"));
    await expect.poll(first.now).toEqual({ a: "1", b: "2" });
    const second = await watched(await rig.connect(), first.bucket);
    await expect.poll(() => second.told.length).toBe(1);
    expect(second.told[0]).toEqual({ a: "1", b: "2" });
    await first.announcer.say("b", bytes("2"));
    await first.announcer.say("b", bytes("3"));
    await expect.poll(second.now).toEqual({ a: "1", b: "3" });
    expect(second.told).toEqual([
      { a: "1", b: "2" },
      { a: "1", b: "3" },
    ]);
  });

  it("forget at once who leaves, and who is silent after its time", async () => {
    const { live, announcer, now, watch } = await watched();
    live("stays", "1");
    const endLeaves = live("leaves", "1");
    const endDies = live("dies", "1");
    await expect.poll(now).toEqual({ stays: "1", leaves: "1", dies: "1" });
    endLeaves();
    await announcer.leave("leaves");
    await expect.poll(now, { timeout: 900 }).toEqual({ stays: "1", dies: "1" });
    endDies();
    const diedAtMs = performance.now();
    await expect.poll(now, { timeout: 10_000 }).toEqual({ stays: "1" });
    expect(performance.now() - diedAtMs).toBeGreaterThan(FLEET_HEARTBEAT_TTL_MS - 1000);
    expect(watch.current()).toBe(true);
  });

  it("leave out what is no state, and keep what was said before it", async () => {
    const { live, announcer, now } = await watched();
    live("a", "1");
    await expect.poll(now).toEqual({ a: "1" });
    await announcer.say("a", bytes("nonsense"));
    await announcer.say("b", bytes("nonsense"));
    await announcer.say("c", bytes("2"));
    await expect.poll(now).toEqual({ a: "1", c: "2" });
  });

  it("make nobody dead when nats-server restarts, though it has forgotten all of them", async () => {
    const { live, now, told, watch, announcer } = await watched();
    live("a", "1");
    await announcer.say("b", bytes("2"));
    await expect.poll(now).toEqual({ a: "1", b: "2" });
    const toldBefore = told.length;
    await rig.server.kill();
    await expect.poll(() => watch.current(), { timeout: 10_000 }).toBe(false);
    await rig.server.restart();
    await expect.poll(() => watch.current(), { timeout: 15_000 }).toBe(true);
    // Current again over an empty bucket: b, who says nothing any more, is there until it has been silent for its time.
    expect(now()).toEqual({ a: "1", b: "2" });
    const currentAtMs = performance.now();
    await expect.poll(now, { timeout: 10_000 }).toEqual({ a: "1" });
    expect(performance.now() - currentAtMs).toBeGreaterThan(FLEET_HEARTBEAT_TTL_MS - 1000);
    const all = { a: "1", b: "2" };
    for (const each of told.slice(toldBefore)) expect([all, { a: "1" }]).toContainEqual(each);
    expect(told.at(-1)).toEqual({ a: "1" });
  });

  it("go on in a bucket that was lost without anybody's link being lost, as when another node had it", async () => {
    const { live, now, watch, bucket } = await watched();
    live("a", "1");
    await expect.poll(now).toEqual({ a: "1" });
    const manager = await jetstreamManager(rig.nc);
    // Its revisions are far beyond those that the new one begins with.
    await expect
      .poll(async () => (await manager.streams.info(`KV_${bucket}`)).state.last_seq, { timeout: 10_000 })
      .toBeGreaterThan(5);
    await manager.streams.delete(`KV_${bucket}`);
    live("b", "2");
    await expect.poll(now, { timeout: 15_000 }).toEqual({ a: "1", b: "2" });
    await expect.poll(() => watch.current(), { timeout: 5000 }).toBe(true);
  });

  it("of matchers carry their state; a value under another one's name is left out", async () => {
    let states: bus.WorkerState[] = [];
    const watch = watchWorkers(rig.nc, (now) => (states = now), log);
    const announcer = openWorkerAnnouncer(rig.nc, log);
    const state = { workerId: "w1", instance: "i", hasSlot: true, row: 1, slot: 3, threads: 2, templates: 9 };
    await announcer.say(state);
    await expect.poll(() => states).toMatchObject([state]);
    await openAnnouncer(rig.nc, "palmgate_matchers", log).say("w2", new Uint8Array());
    await announcer.leave("w1");
    await expect.poll(() => states).toEqual([]);
    await watch.stop();
  });

  it("of gateways carry where they are and what they lack", async () => {
    let gateways: GatewayState[] = [];
    const watch = watchGateways(rig.nc, (now) => (gateways = now), log);
    const state: GatewayState = {
      id: "g1",
      instance: "i",
      host: "127.0.0.1",
      port: 8081,
      tls: false,
      lanes: 3,
      presentations: 1,
      transport: "uws-native",
      notReady: ["nats-server is not reached"],
    };
    await openGatewayAnnouncer(rig.nc, log).say(state);
    await expect.poll(() => gateways).toEqual([state]);
    await openAnnouncer(rig.nc, "palmgate_gateways", log).say("g2", bytes('{"id":"g2"}'));
    await openGatewayAnnouncer(rig.nc, log).leave("g1");
    await expect.poll(() => gateways).toEqual([]);
    await watch.stop();
  });
});
