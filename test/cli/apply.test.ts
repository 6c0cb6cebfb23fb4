// palmgate apply on a real nats-server.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { run } from "../../cli/apply.js";
import { makeDeviceKey } from "../../edge-agent/device-key.js";
import { openEventLog, openSagas, storeMember } from "../../records/index.js";
import { bus, encode } from "../../wire/codec.js";
import { UsageError } from "../../wire/config.js";
import { type Directory, openDirectory } from "../../wire/directory.js";
import { openKeyring } from "../../wire/keyring.js";
import { paymentSubject } from "../../wire/subjects.js";
import { ofVector } from "../matcher/support/vectors.js";
import { unitVector } from "../records/support/members.js";
import { type BusRig, log, openBusRig } from "../wire/support/rig.js";

let rig: BusRig;
let directory: Directory;
let file: string;
const masterKey = randomBytes(32);

beforeAll(async () => {
  rig = await openBusRig();
  directory = await openDirectory(rig.nc, log);
  rig.defer(() => directory.close());
  file = join(mkdtempSync(join(tmpdir(), "palmgate-apply-")), "organisations.json");
  vi.stubEnv("PALMGATE_NATS_URL", rig.server.url);
  vi.stubEnv("PALMGATE_MASTER_KEY", masterKey.toString("hex"));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rig?.close();
});

const device = {
  id: "gate-1",
  publicKey: makeDeviceKey().publicKeyBase64,
  site: "north",
  purpose: "ENTRY",
  gallery: "members",
};
const acme = (changed: object = {}) => ({
  name: "acme",
  galleries: [{ name: "members" }],
  sites: [{ name: "north" }],
  devices: [device],
  ...changed,
});

async function apply(content: object, ...args: string[]): Promise<{ code: number; lines: string[] }> {
  writeFileSync(file, JSON.stringify(content));
  const written: string[] = [];
  const out = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    written.push(String(text));
    return true;
  });
  try {
    const code = await run([file, ...args]);
    return { code, lines: written.join("").trim().split("\n") };
  } finally {
    out.mockRestore();
  }
}

describe("palmgate apply", () => {
  it("changes nothing where nobody is there to agree", async () => {
    await expect(apply({ organisations: [acme()] })).rejects.toThrow(/--yes/);
    expect(directory.organisations()).toEqual([]);
    expect(directory.fleet()).toBeUndefined();
  });

  it("shows every change in a line, makes the organisation's key and the fleet, and does nothing the second time", async () => {
    const first = await apply({ organisations: [acme()] }, "--yes");
    expect(first).toEqual({
      code: 0,
      lines: [
        "+ the fleet: 1 row of 1 slot",
        "+ organisation acme",
        "+ gallery members of acme (model palm-256-v4)",
        "+ site north of acme",
        "+ device gate-1 of acme (ENTRY at north)",
        "5 changes done",
      ],
    });
    await vi.waitUntil(() => directory.device("gate-1") !== undefined);
    expect(directory.fleet()).toMatchObject({ rows: 1, slots: 1 });
    const key = directory.organisation("acme")?.keys[0];
    expect(await apply({ organisations: [acme()] }, "--yes")).toEqual({
      code: 0,
      lines: ["nothing to change"],
    });
    expect(directory.organisation("acme")?.keys).toEqual([key]);
  });

  it("changes what the file says otherwise, and takes away devices that it names no more", async () => {
    const fleet = { rows: 2, slots: 3 };
    const changed = acme({ sites: [{ name: "north", unreported: "capture" }], devices: [] });
    const { lines } = await apply({ fleet, organisations: [changed] }, "--yes");
    expect(lines).toEqual([
      "~ the fleet: 2 rows of 3 slots",
      "~ site north of acme",
      "- device gate-1 of acme",
      "3 changes done",
    ]);
    await vi.waitUntil(() => directory.fleet()?.rows === 2);
    expect(directory.site("acme", "north")).toMatchObject({ unreported: "capture" });
    // A file that says nothing of the fleet leaves it as it is.
    expect((await apply({ organisations: [changed] }, "--yes")).lines).toEqual(["nothing to change"]);
  });

  it("removes what is not named any more only when told to, and never a gallery with members", async () => {
    const more = acme({
      galleries: [{ name: "members" }, { name: "staff" }],
      sites: [{ name: "north" }, { name: "south" }],
    });
    await apply({ organisations: [more] }, "--yes");
    const less = acme();
    const kept = await apply({ organisations: [less] }, "--yes");
    expect(kept.lines.filter((line) => line.startsWith("-"))).toEqual([]);
    await vi.waitUntil(() => directory.gallery("acme", "staff") !== undefined);
    const keyring = openKeyring(masterKey, (name) => directory.organisation(name)?.keys ?? []);
    const stored = await storeMember(await openEventLog(rig.nc), keyring, {
      organisation: "acme",
      gallery: "staff",
      memberId: randomBytes(16),
      templates: [
        {
          modelId: "palm-256-v4",
          position: 1,
          signature: ofVector(unitVector(256)),
        },
      ],
      profile: { consents: [1] },
    });
    expect(stored).toMatchObject({ ok: true });
    await expect(apply({ organisations: [less] }, "--yes", "--prune")).rejects.toThrow(
      /staff of acme still has members/,
    );
    const withStaff = { ...less, galleries: [{ name: "members" }, { name: "staff" }] };
    expect((await apply({ organisations: [withStaff] }, "--yes", "--prune")).lines).toEqual([
      "- site south of acme",
      "1 change done",
    ]);
  });

  it("removes no site with an open payment, and no organisation with a pending erasure", async () => {
    const sites = [{ name: "north" }, { name: "till" }];
    const galleries = [{ name: "members" }, { name: "staff" }];
    const other = { name: "other", galleries: [], sites: [], devices: [] };
    await apply({ organisations: [acme({ sites, galleries }), other] }, "--yes");
    await vi.waitUntil(() => directory.site("acme", "till") !== undefined);
    await vi.waitUntil(() => directory.organisation("other") !== undefined);
    const eventLog = await openEventLog(rig.nc);
    const presentationId = randomBytes(16);
    const place = { organisation: "acme", site: "till", deviceId: "till-1", presentationId };
    const subject = paymentSubject("acme", presentationId.toString("hex"));
    const pay = (step: bus.PaymentStep) =>
      eventLog.append(subject, encode(bus.PaymentEvent, { ...place, step, atUnixMs: 1 }));
    const sagas = openSagas(rig.nc, eventLog, { nowUnixMs: Date.now, log });
    const begun = await sagas.begin({
      ...{ kind: "erase", organisation: "other", id: "ab".repeat(16), by: "operator" },
      ...{ bodySha256: new Uint8Array(32), intent: new Uint8Array(1) },
    });
    if (!begun.ok) throw new Error(begun.code);
    await pay(bus.PaymentStep.AUTHORISED);
    const prune = () => apply({ organisations: [acme({ galleries })] }, "--yes", "--prune");
    await expect(prune()).rejects.toThrow(
      /site till of acme still has open payments.*organisation other still has pending erasures/s,
    );
    await pay(bus.PaymentStep.VOIDED);
    await sagas.advance(begun.saga, { step: "DONE" });
    expect((await prune()).lines.filter((line) => line.startsWith("-"))).toEqual([
      "- site till of acme",
      "- organisation other",
    ]);
  });

  it("refuses another master key than the organisation was made under", async () => {
    vi.stubEnv("PALMGATE_MASTER_KEY", randomBytes(32).toString("hex"));
    await expect(apply({ organisations: [acme()] }, "--yes")).rejects.toThrow(/another master key/);
    vi.stubEnv("PALMGATE_MASTER_KEY", masterKey.toString("hex"));
  });

  it.each([
    [{ organisations: [{ name: "UPPER" }] }, /organisations\.0\.name/],
    [{ organisations: [acme({ devices: [{ ...device, publicKey: "x" }] })] }, /publicKey/],
    [{ organisation: [] }, /organisations/],
  ])("names what is wrong with a file: %#", async (content, why) => {
    await expect(apply(content, "--yes")).rejects.toThrow(why);
    await expect(apply(content, "--yes")).rejects.toThrow(UsageError);
  });

  it("wants one file, and says so as a command", async () => {
    await expect(run(["--yes"])).rejects.toThrow(/one FILE is needed/);
    await expect(run(["none.json", "--yes"])).rejects.toThrow(/none\.json cannot be read/);
    const child = spawn(process.execPath, ["--import", "tsx", "cli/palmgate.ts", "apply", "--help"]);
    let text = "";
    child.stdout.on("data", (chunk) => {
      text += chunk;
    });
    const [code] = await once(child, "close");
    expect(code).toBe(0);
    expect(text).toContain("Usage: palmgate apply FILE");
  });
});
