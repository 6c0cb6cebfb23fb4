import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { parseSiteFile } from "../../../gateway/sites.js";

const rawKey = () =>
  generateKeyPairSync("ed25519").publicKey.export({ format: "der", type: "spki" }).subarray(-32);
const device = {
  id: "gate-1",
  publicKey: rawKey().toString("base64"),
  site: "north",
  purpose: "ENTRY",
  gallery: "g",
};
const file = {
  galleries: [{ name: "g", partitions: 8, replicas: 2 }],
  sites: [{ name: "north" }],
  devices: [device],
};
const parse = (more: object = {}) => parseSiteFile(JSON.stringify({ ...file, ...more }));

describe("site file", () => {
  it("is taken with defaults for what may be left out", () => {
    const parsed = parse();
    expect(parsed).toMatchObject({
      ok: true,
      site: {
        policy: { ENTRY: { targetFpir: 1e-3 }, PAY: { targetFpir: 1e-4 } },
        payments: { processor: "sandbox" },
      },
    });
  });

  it("names every mistake with its place", () => {
    const parsed = parse({
      devices: [
        { ...device, site: "south" },
        { ...device, gallery: "h", publicKey: "AAAA" },
      ],
    });
    expect(parsed).toMatchObject({ ok: false });
    const text = parsed.ok ? "" : parsed.problems.join("\n");
    expect(text).toContain("devices.1.publicKey: must be the base64 of a raw Ed25519 key");
  });

  it("refuses devices that point nowhere or are there twice", () => {
    const parsed = parse({
      devices: [
        { ...device, site: "south" },
        { ...device, gallery: "h" },
      ],
    });
    expect(parsed.ok ? [] : parsed.problems).toEqual([
      "devices.1: 'gate-1' is there twice",
      "devices.0.site: no site 'south'",
      "devices.1.gallery: no gallery 'h'",
    ]);
  });

  it.each([
    [{ galleries: [{ name: "a.b", partitions: 8, replicas: 2 }] }],
    [{ sites: [{ name: "no>rth" }] }],
    [{ policy: { ENTRY: { targetFpir: 0 } } }],
    [{ extra: 1 }],
  ])("refuses %o", (wrong) => {
    expect(parse(wrong).ok).toBe(false);
  });

  it("refuses what is not JSON without throwing", () => {
    expect(parseSiteFile("{").ok).toBe(false);
  });
});
