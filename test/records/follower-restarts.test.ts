import { jetstreamManager } from "@nats-io/jetstream";
import { describe, expect, it } from "vitest";
import { openEventLog } from "../../records/index.js";
import { connectNats } from "../../wire/nats.js";
import { openLossyLink } from "../wire/support/lossy-link.js";
import { append, bytes, followAll, sequencesOf } from "./support/followed.js";
import { log, openRig } from "./support/rig.js";

describe("follower through server restarts", () => {
  it("loses nothing and doubles nothing while the server is killed again and again under appends", async () => {
    const rig = await openRig();
    try {
      const followed = followAll(rig.eventLog, { filters: ["members.r.0.*"], maxBatchEvents: 16 });
      await followed.follower.caughtUp();
      const acknowledged: number[] = [];
      let done = false;
      const author = (async () => {
        for (let i = 0; !done; i++) {
          const appended = await rig.eventLog.append("members.r.0.x", bytes(`${i}`), { messageId: `r${i}` });
          if (appended.ok) acknowledged.push(appended.sequence);
        }
      })();
      for (let kills = 0; kills < 3; kills++) {
        const before = acknowledged.length;
        await expect.poll(() => acknowledged.length, { timeout: 15_000 }).toBeGreaterThan(before + 100);
        await rig.server.kill();
        await rig.server.restart();
      }
      const before = acknowledged.length;
      await expect.poll(() => acknowledged.length, { timeout: 15_000 }).toBeGreaterThan(before + 50);
      done = true;
      await author;
      await followed.reached(acknowledged.at(-1) ?? 0);
      const seen = sequencesOf(followed.events);
      expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
      const missing = acknowledged.filter((sequence) => !seen.includes(sequence));
      expect(missing).toEqual([]);
      await followed.follower.stop();
    } finally {
      await rig.close();
    }
  }, 90_000);

  it.each([
    ["the link is cut, and none comes after it", "cut"],
    ["the link stays, and another one comes", "stay"],
  ])("brings an event that was lost on its way to us when %s", async (_how, fate) => {
    const rig = await openRig();
    const link = await openLossyLink(rig.server.url);
    const nc = await connectNats({ url: link.url, name: "follower", log });
    try {
      const followed = followAll(await openEventLog(nc), { filters: ["members.t.0.*"] });
      await followed.follower.caughtUp();
      const manager = await jetstreamManager(rig.nc);
      const consumer = async () => (await manager.consumers.list("MEMBERS").next())[0];
      // Caught up, it asks the server to hold the request open for events to come.
      await expect.poll(async () => (await consumer())?.num_waiting).toBe(1);
      link.swallowing = true;
      const sequences = await append(rig.eventLog, "members.t.0.x");
      await expect.poll(async () => (await consumer())?.delivered.consumer_seq).toBe(1);
      expect(followed.events).toEqual([]);
      link.swallowing = false;
      if (fate === "cut") link.cut();
      else sequences.push(...(await append(rig.eventLog, "members.t.0.x")));
      await followed.reached(sequences.at(-1) ?? 0);
      expect(sequencesOf(followed.events)).toEqual(sequences);
      await followed.follower.stop();
    } finally {
      await nc.close();
      await link.close();
      await rig.close();
    }
  });

  it("is not caught up by events that the server has sent and that never came", async () => {
    const rig = await openRig();
    const link = await openLossyLink(rig.server.url);
    const nc = await connectNats({ url: link.url, name: "follower", log });
    try {
      const all = await append(rig.eventLog, "members.u.0.x", 3);
      const eventLog = await openEventLog(nc);
      // Every event delivered to the first consumer is lost: its reply subject names that consumer.
      let first: string | undefined;
      let lost = 0;
      link.swallows = (chunk) => {
        const consumer = /\$JS\.ACK\.MEMBERS\.(\w+)\./.exec(chunk.toString("latin1"))?.[1];
        first ??= consumer;
        if (consumer === undefined || consumer !== first) return false;
        lost++;
        return true;
      };
      const { follower, events } = followAll(eventLog, { filters: ["members.u.0.*"] });
      await follower.caughtUp();
      expect(lost).toBeGreaterThan(0);
      expect(sequencesOf(events)).toEqual(all);
      await follower.stop();
    } finally {
      await nc.close();
      await link.close();
      await rig.close();
    }
  });
});
