// Galleries and workers as gateway and matchers see them, on a real nats-server.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { bus } from "../../wire/codec.js";
import { UsageError } from "../../wire/config.js";
import { type Gallery, openGallery, watchGalleries } from "../../wire/galleries.js";
import { openLog } from "../../wire/log.js";
import { connectNats } from "../../wire/nats.js";
import { type LocalNats, startLocalNats } from "../../wire/nats-server.js";
import { openAnnouncer, watchWorkers } from "../../wire/workers.js";
import { watched } from "./support/watched.js";

const log = openLog("test");
const dir = mkdtempSync(join(tmpdir(), "palmgate-buckets-"));
const gallery: Gallery = {
  name: "members",
  partitions: 8,
  replicas: 2,
  modelId: "m",
  dimension: 384,
  lineMaps: false,
};
let server: LocalNats;
let nc: NatsConnection;

beforeAll(async () => {
  server = await startLocalNats(dir);
  nc = await connectNats({ url: server.url, name: "test", log });
});
afterAll(async () => {
  await nc.close();
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
});

describe("galleries", () => {
  it("are made once by whichever of several processes comes first, and checked by the others", async () => {
    const opened = await Promise.all(Array.from({ length: 5 }, () => openGallery(nc, gallery)));
    expect(opened).toEqual(Array(5).fill(gallery));
  });

  it("refuse other facts and name the one that differs", async () => {
    await openGallery(nc, gallery);
    const other = openGallery(nc, { ...gallery, partitions: 16 });
    await expect(other).rejects.toThrow(UsageError);
    await expect(other).rejects.toThrow(/partitions 8.*16/);
    await expect(openGallery(nc, { ...gallery, lineMaps: true })).rejects.toThrow(/lineMaps false.*true/);
    await expect(openGallery(nc, { ...gallery, name: "Not.A.Name" })).rejects.toThrow(UsageError);
  });

  it("are told to a watcher at start and as they are made", async () => {
    await openGallery(nc, gallery);
    const seen = watched<Gallery[]>();
    const watch = await watchGalleries(nc, seen.push, log);
    expect(await seen.until((all) => all.length === 1)).toEqual([gallery]);
    const staff = { ...gallery, name: "staff", partitions: 1, lineMaps: true };
    await openGallery(nc, staff);
    expect(await seen.until((all) => all.length === 2)).toContainEqual(staff);
    watch.stop();
  });
});

describe("workers", () => {
  const ids = (states: bus.WorkerState[]) => states.map(({ workerId }) => workerId).sort();

  it("are seen while heard, gone at once when they leave, and gone when they fall silent", async () => {
    const voice = openAnnouncer(nc, log);
    await voice.say({ workerId: "early" });
    const seen = watched<bus.WorkerState[]>();
    const watch = await watchWorkers(nc, seen.push, log);
    await seen.until((states) => ids(states).join() === "early");
    await voice.say({ workerId: "late", partitions: [{ gallery: "g", partition: 3, ready: true }] });
    const both = await seen.until((states) => states.length === 2);
    expect(both.find(({ workerId }) => workerId === "late")?.partitions?.[0]?.partition).toBe(3);
    await voice.leave("late");
    await seen.until((states) => ids(states).join() === "early");
    await seen.until((states) => states.length === 0);
    watch.stop();
  });

  it("are not dead because nats-server restarts", async () => {
    const voice = openAnnouncer(nc, log);
    const seen = watched<bus.WorkerState[]>();
    const watch = await watchWorkers(nc, seen.push, log);
    await voice.say({ workerId: "w", startedUnixMs: 1 });
    await seen.until((states) => states.length === 1);
    const counts: number[] = [];
    seen.onEach((states) => counts.push(states.length));
    const back = (async () => {
      for await (const status of nc.status()) if (status.type === "reconnect") return;
    })();
    await server.kill();
    await server.restart();
    await back;
    await voice.say({ workerId: "w", startedUnixMs: 2 });
    await seen.until((states) => states[0]?.startedUnixMs === 2);
    expect(counts.every((count) => count === 1)).toBe(true);
    watch.stop();
  });
});
