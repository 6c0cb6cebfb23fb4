// The desk as a process sees it: what it starts with, what it refuses to start with, and that any of two is like the other.
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { startDesk } from "../../desk/desk.js";
import { DESK_SETTINGS } from "../../desk/settings.js";
import { makeDeviceKey } from "../../edge-agent/device-key.js";
import { helpText, readSettings, UsageError } from "../../wire/config.js";
import { directoryKey } from "../../wire/directory.js";
import { ANYBODY, type DeskRig, documentOf, openDeskRig, refusal, TOKEN } from "./support.js";

const two = {
  organisations: ["acme", "zoo"].map((name) => ({
    name,
    galleries: [{ name: "members" }],
    sites: [{ name: "north" }],
    devices: [],
  })),
};

const enrolOrder = {
  gallery: "members",
  consents: ["ENTRY"],
  captures: [
    { encoding: "GRAY8", widthPx: 64, heightPx: 64, image: Buffer.alloc(64 * 64).toString("base64") },
  ],
};

let rig: DeskRig;
beforeAll(async () => {
  rig = await openDeskRig({ desks: 2, file: two });
});
afterAll(() => rig?.close());

const settings = (...args: string[]) =>
  readSettings(DESK_SETTINGS, ["--port", "0", "--ops-port", "0", ...args], {
    PALMGATE_NATS_URL: rig.natsUrl,
    PALMGATE_MASTER_KEY: rig.masterKey,
    PALMGATE_OPERATOR_TOKEN: TOKEN,
  });

describe("two desks behind a balancer", () => {
  it("answer the same: status, receipt keys, document, devices, passes", async () => {
    for (const path of [
      "/api/v1/receipt-keys",
      "/api/v1/devices?organisation=acme",
      "/api/v1/openapi.json",
    ]) {
      const [one, other] = await Promise.all(rig.desks.map((desk) => desk.call("GET", path)));
      expect(one?.body).toEqual(other?.body);
    }
    const order = { kind: "LANE", site: "north", gallery: "members", purpose: "PAY" };
    const { body } = await rig.anywhere("POST", "/api/v1/passes?organisation=zoo", { body: order });
    for (const desk of rig.desks) {
      const terms = await desk.call("POST", "/api/v1/passes/terms", {
        body: { pass: body.code, kind: "LANE" },
        ...ANYBODY,
      });
      expect(terms).toMatchObject({ status: 200, body: { organisation: "zoo", purpose: "PAY" } });
    }
  });

  it("turn away together an address that guesses codes", async () => {
    const guess = { body: { pass: "00000-00000", kind: "LANE" }, ...ANYBODY };
    for (let n = 0; n < 20; n++) await rig.anywhere("POST", "/api/v1/passes/terms", guess);
    for (const desk of rig.desks) {
      await vi.waitUntil(async () => (await desk.call("POST", "/api/v1/passes/terms", guess)).status === 429);
    }
  });
});

describe("a fleet with several organisations", () => {
  it("wants to be told whose it is about, and shows nobody another one's", async () => {
    expect(await rig.call("GET", "/api/v1/devices")).toMatchObject(refusal("ORGANISATION_NEEDED"));
    expect(await rig.call("GET", "/api/v1/devices?organisation=none")).toMatchObject(
      refusal("ORGANISATION_UNKNOWN"),
    );
    expect(await rig.call("GET", "/api/v1/devices?organisation=NO.PE")).toMatchObject(refusal("BAD_REQUEST"));
    const id = "gate-of-zoo";
    const { publicKeyBase64: publicKey } = makeDeviceKey();
    const device = {
      organisation: "zoo",
      id,
      publicKey,
      site: "north",
      purpose: "ENTRY",
      gallery: "members",
    };
    await rig.directory.create(directoryKey.device(id), device);
    const devicesOf = async (name: string) =>
      JSON.stringify((await rig.call("GET", `/api/v1/devices?organisation=${name}`)).body);
    await vi.waitUntil(async () => (await devicesOf("zoo")).includes(id));
    expect(await devicesOf("acme")).not.toContain(id);
    expect(await rig.call("DELETE", `/api/v1/devices/${id}?organisation=acme`)).toMatchObject(
      refusal("NOT_FOUND"),
    );
    const order = { kind: "LANE", site: "north", gallery: "members", purpose: "ENTRY" };
    const { body } = await rig.call("POST", "/api/v1/passes?organisation=acme", { body: order });
    const listed = await rig.call("GET", "/api/v1/passes?organisation=zoo");
    expect(JSON.stringify(listed.body)).not.toContain(String(body.passId));
    expect(await rig.call("DELETE", `/api/v1/passes/${body.passId}?organisation=zoo`)).toMatchObject(
      refusal("PASS_UNKNOWN"),
    );
  });

  it("is told what is missing, by status and readiness", async () => {
    const { body } = await rig.call("GET", "/api/v1/status?organisation=acme");
    expect(body).toMatchObject({
      fleet: { rows: 1, slots: 1, shards: 256, shardsServed: 0, missingReplicas: 256, members: 0 },
      organisations: [{ name: "acme", galleries: ["members"], sites: ["north"] }],
      log: { beatAgeMs: null, leader: null },
      gateways: [],
      matchers: [],
      ledgers: [],
    });
    expect(body.notReady).toContain("0 of 256 shards are served by a matcher");
    const ready = await fetch(`http://127.0.0.1:${rig.desks[0]?.opsPort}/readyz`);
    expect([ready.status, await ready.text()]).toEqual([
      503,
      expect.stringContaining("no gateway is heard of"),
    ]);
  });
});

describe("a desk whose nats-server is gone", () => {
  it("says so to whatever is asked of it, in time, and calls nothing a bug", async () => {
    const lonely = await openDeskRig();
    const pass = { kind: "LANE", site: "north", gallery: "members", purpose: "ENTRY" };
    const { body: issued } = await lonely.call("POST", "/api/v1/passes", { body: pass });
    const { publicKeyBase64: publicKey } = makeDeviceKey();
    await lonely.stopNats();
    const id = "ab".repeat(16);
    const asked: [string, string, object?][] = [
      ["GET", `/api/v1/members/${id}`],
      ["GET", `/api/v1/enrolments/${id}`],
      ["DELETE", `/api/v1/members/${id}`],
      ["PUT", `/api/v1/members/${id}/consents`, { consents: [] }],
      ["GET", `/api/v1/erasures/${id}`],
      ["GET", `/api/v1/payments/${id}`],
      ["POST", `/api/v1/payments/${id}/refund`],
      ["GET", "/api/v1/passes"],
      ["POST", "/api/v1/passes", pass],
      ["POST", "/api/v1/passes/terms", { pass: issued.code, kind: "LANE" }],
      ["POST", "/api/v1/lanes", { pass: issued.code, publicKey }],
      ["POST", "/api/v1/members", enrolOrder],
    ];
    const answers = await Promise.all(
      asked.map(([method, path, body]) => lonely.call(method, path, { body })),
    );
    for (const [at, { status, body }] of answers.entries()) {
      expect({ asked: asked[at]?.slice(0, 2), status, code: body.code }).toMatchObject({
        status: 503,
        code: expect.stringMatching(/^(LOG_UNAVAILABLE|MEMBER_UNAVAILABLE)$/),
      });
    }
    expect((await lonely.call("GET", "/api/v1/status")).body.notReady).toContain(
      "nats-server is not reached",
    );
    await lonely.close();
  });
});

describe("starting a desk", () => {
  it("says in one line what is wrong", async () => {
    expect(() => settings("--operator-token", "short")).toThrow(UsageError);
    await expect(startDesk(settings("--tls-cert", "x.pem"))).rejects.toThrow(/--tls-cert and --tls-key/);
    const nowhere = join(rig.dir, "none.pem");
    await expect(startDesk(settings("--tls-cert", nowhere, "--tls-key", nowhere))).rejects.toThrow(
      UsageError,
    );
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const address = taken.address();
    const port = typeof address === "object" ? String(address?.port) : "";
    await expect(startDesk(settings("--port", port))).rejects.toThrow(
      /cannot be opened: .*EADDRINUSE.*--port/,
    );
    taken.close();
  });

  it("listens on loopback unless told otherwise, and tells its settings", () => {
    expect(settings().host).toBe("127.0.0.1");
    const text = helpText("palmgate desk", "", DESK_SETTINGS);
    for (const { option } of Object.values(DESK_SETTINGS)) expect(text).toContain(`--${option}`);
    expect(text).not.toContain(TOKEN);
  });

  it("leaves nothing open when it is closed", async () => {
    const desk = await rig.startDesk();
    await documentOf(desk.url);
    await desk.close();
    await expect(fetch(desk.url)).rejects.toThrow();
  });
});
