import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { SiteBook } from "../../../gateway/site-book.js";
import { UsageError } from "../../../wire/config.js";
import { openLog } from "../../../wire/log.js";

const publicKey = generateKeyPairSync("ed25519")
  .publicKey.export({ format: "der", type: "spki" })
  .subarray(-32)
  .toString("base64");
const device = { id: "gate-1", publicKey, site: "north", purpose: "ENTRY", gallery: "g" };
const content = {
  galleries: [{ name: "g", partitions: 8, replicas: 2 }],
  sites: [{ name: "north" }],
  devices: [device],
};

describe("a site file read again", () => {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-site-"));
  const path = join(dir, "site.json");
  const write = (more: object) => writeFileSync(path, JSON.stringify({ ...content, ...more }));
  afterEach(() => rmSync(path, { force: true }));
  const book = () => new SiteBook(path, openLog("test"));

  it("takes effect: devices come and go", () => {
    write({});
    const site = book();
    write({ devices: [{ ...device, id: "gate-2" }] });
    expect(site.reread()).toBe(true);
    expect(site.deviceOf("gate-1")).toBeUndefined();
    expect(site.deviceOf("gate-2")?.site).toBe("north");
  });

  it.each([
    ["has a mistake", { devices: [{ ...device, gallery: "nowhere" }] }],
    ["changes a gallery", { galleries: [{ name: "g", partitions: 4, replicas: 2 }] }],
  ])("changes nothing when it %s", (_, wrong) => {
    write({});
    const site = book();
    write(wrong);
    expect(site.reread()).toBe(false);
    expect(site.deviceOf("gate-1")).toBeDefined();
    expect(site.site.galleries[0]?.partitions).toBe(8);
  });

  it("stops the start with every mistake named", () => {
    write({ sites: [{ name: "south" }] });
    expect(book).toThrow(UsageError);
    expect(book).toThrow("devices.0.site: no site 'north'");
  });
});
