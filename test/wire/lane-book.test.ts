import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isNewerLink, type LaneEntry, openLaneBook } from "../../wire/lane-book.js";
import { type BusRig, log, openBusRig } from "./support/rig.js";

const lane = (deviceId: string, link: string, sinceUnixMs: number, organisation = "acme"): LaneEntry => ({
  deviceId,
  gateway: `gateway-of-${link}`,
  link,
  organisation,
  site: "main",
  purpose: "ENTRY",
  sinceUnixMs,
});

describe("the book of lanes", () => {
  let rig: BusRig;
  beforeAll(async () => {
    rig = await openBusRig();
  });
  afterAll(() => rig.close());
  const open = async () => {
    const book = openLaneBook(await rig.connect(), log);
    rig.defer(() => book.close());
    return book;
  };

  it("tells every gateway where a lane is, and who came there last", async () => {
    const [one, two] = [await open(), await open()];
    const heard: LaneEntry[] = [];
    one.onEntry((entry) => heard.push(entry));
    const older = lane("lane-1", "a", 1000);
    expect(await one.put(older)).toBe(true);
    await expect.poll(() => two.get("lane-1")).toEqual(older);
    const newer = lane("lane-1", "b", 2000);
    await two.put(newer);
    await expect.poll(() => heard).toEqual([older, newer]);
    expect(one.get("lane-1")).toEqual(newer);
    await two.put(lane("lane-2", "c", 1, "other"));
    await expect.poll(() => one.list("other").map(({ deviceId }) => deviceId)).toEqual(["lane-2"]);
    expect(one.list("acme")).toEqual([newer]);
    const late = await open();
    await expect.poll(() => late.list()).toHaveLength(2);
  });

  it("gives up a lane's entry by its own link only", async () => {
    const [one, two] = [await open(), await open()];
    await one.put(lane("lane-3", "old", 1));
    await two.put(lane("lane-3", "new", 2));
    expect(await one.remove("lane-3", "old")).toBe(true);
    await expect.poll(() => one.get("lane-3")?.link).toBe("new");
    expect(await two.remove("lane-3", "new")).toBe(true);
    await expect.poll(() => one.get("lane-3")).toBeUndefined();
  });

  it("forgets what nobody says any more", { timeout: 60_000 }, async () => {
    const [one, two] = [await open(), await open()];
    await one.put(lane("lane-4", "a", 1));
    await expect.poll(() => two.get("lane-4")).toBeDefined();
    await expect.poll(() => two.get("lane-4"), { timeout: 25_000, interval: 500 }).toBeUndefined();
    // The server forgets it too, at about the same time: whoever comes later does not hear of it.
    const late = await open();
    await late.put(lane("lane-5", "a", 1));
    await expect.poll(() => late.get("lane-5")).toBeDefined();
    await expect.poll(() => late.get("lane-4"), { timeout: 25_000, interval: 500 }).toBeUndefined();
  });

  it("knows which of two links is the newer, and both sides agree", () => {
    const links = [lane("l", "a", 1), lane("l", "b", 1), lane("l", "a2", 2)];
    for (const own of links) {
      for (const other of links) {
        expect(isNewerLink(other, own) && isNewerLink(own, other)).toBe(false);
        expect(isNewerLink(other, own) || isNewerLink(own, other)).toBe(own.link !== other.link);
      }
    }
  });
});
