// Passes on real processes: a lane pairs itself, a person enrols themselves, is let in there, and both end again.
import { spawn } from "node:child_process";
import { createPrivateKey } from "node:crypto";
import { EventEmitter, on, once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { syntheticPerson } from "../../cli/demo/people.js";
import { PALMGATE_JS } from "../../cli/stack/child.js";
import { GALLERY } from "../../cli/stack/stack.js";
import type { Agent } from "../../edge-agent/agent.js";
import { makeDeviceKey } from "../../edge-agent/device-key.js";
import type { LinkState } from "../../edge-agent/link.js";
import { bus, edge, encode } from "../../wire/codec.js";
import { fromHex } from "../../wire/hex.js";
import { openSite, present, type Site, seen, until } from "./support.js";

const RIGHT = 501;
const LEFT = 502;
const PHONE = "+4915198765432";
const SETTLE_DEADLINE_MS = 20_000;

type Body = Record<string, unknown>;

describe("a site that gives out passes", () => {
  let site: Site;
  const key = makeDeviceKey();
  const links = new EventEmitter();
  let agent: Agent;
  let deviceId: string;
  let member: Body;

  beforeAll(async () => {
    site = await openSite();
  });
  afterAll(() => site?.close());

  /** The next time that the lane's link is so. */
  async function linkIs(holds: (state: LinkState) => boolean): Promise<void> {
    for await (const [state] of on(links, "state")) if (holds(state)) return;
  }

  async function post(path: string, body: object | Uint8Array): Promise<{ status: number; body: Body }> {
    const response = await fetch(`${site.stack.deskUrl}${path}`, {
      method: "POST",
      headers: {
        "content-type": body instanceof Uint8Array ? "application/x-protobuf" : "application/json",
      },
      body: body instanceof Uint8Array ? Uint8Array.from(body) : JSON.stringify(body),
    });
    return { status: response.status, body: (await response.json()) as Body };
  }

  async function palmgate(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    const child = spawn(process.execPath, [PALMGATE_JS, ...args], {
      env: {
        ...process.env,
        PALMGATE_OPERATOR_TOKEN: site.stack.operatorToken,
        PALMGATE_DESK: site.stack.deskUrl,
      },
    });
    const out = { stdout: "", stderr: "" };
    child.stdout.on("data", (chunk) => {
      out.stdout += chunk;
    });
    child.stderr.on("data", (chunk) => {
      out.stderr += chunk;
    });
    const [code] = await once(child, "close");
    return { code: Number(code), ...out };
  }

  async function passFor(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await palmgate("pass", "--gallery", GALLERY, "--site", "north", ...args);
    expect(code, stderr).toBe(0);
    const link = new URL(stdout.trim());
    expect(link.origin).toBe(site.stack.deskUrl);
    return new URLSearchParams(link.hash.slice(1)).get("pass") ?? "";
  }

  async function selfEnrolment(pass: string): Promise<Uint8Array> {
    const { body } = await post("/api/v1/passes/terms", { pass, kind: "ENROL" });
    const hands = await Promise.all([RIGHT, LEFT].map((seed) => syntheticPerson(seed).enrolment(0)));
    return encode(bus.SelfEnrolRequest, {
      pass,
      consents: [edge.Purpose.ENTRY],
      consentTextSha256: fromHex(String(body.consentTextSha256)),
      phone: PHONE,
      captures: hands.flatMap((images, index) =>
        images.map(({ width, height, pixels }) => ({
          encoding: edge.Encoding.GRAY8,
          widthPx: width,
          heightPx: height,
          modality: edge.Modality.VISIBLE,
          position: index + 1,
          image: pixels,
        })),
      ),
    });
  }

  it("makes a lane of a device that has one, and its agent is welcomed", async () => {
    const pass = await passFor("--kind", "lane", "--purpose", "entry");
    const paired = await post("/api/v1/lanes", { pass, publicKey: key.publicKeyBase64 });
    expect(paired).toMatchObject({
      status: 201,
      body: { site: "north", purpose: "ENTRY", gallery: GALLERY },
    });
    deviceId = String(paired.body.deviceId);
    agent = await site.lane(deviceId, {
      key: createPrivateKey(key.privateKeyPem),
      onState: (state) => links.emit("state", state),
    });
    expect(agent.state().phase).toBe("open");
    // The same device may ask again; another one may not.
    const again = await post("/api/v1/lanes", { pass, publicKey: key.publicKeyBase64 });
    expect(again).toMatchObject({ status: 201, body: { deviceId } });
    const other = await post("/api/v1/lanes", { pass, publicKey: makeDeviceKey().publicKeyBase64 });
    expect(other).toMatchObject({ status: 410, body: { code: "PASS_USED" } });
  });

  it("makes a member of a person who has one, whom that lane lets in by either hand", async () => {
    const pass = await passFor("--kind", "enrol", "--consent", "entry");
    const answer = await post("/api/v1/enrolments", await selfEnrolment(pass));
    expect(answer).toMatchObject({ status: 201, body: { templates: 6, site: "north" } });
    member = answer.body;
    for (const seed of [RIGHT, LEFT]) {
      expect(seen(await present(agent, seed))).toMatchObject({
        outcome: "MATCH",
        granted: true,
        pairwiseId: member.pairwiseId,
      });
    }
  });

  it("writes the phone number nowhere in the clear", async () => {
    const dir = join(site.stack.child("gateway-1").logFile, "..");
    const holders = readdirSync(dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((file) => readFileSync(file).includes(PHONE.slice(1)));
    expect(holders).toEqual([]);
  });

  it("knows the paired lane after a restart of the gateway", async () => {
    await Promise.all(site.stack.of("gateway").map((gateway) => gateway.stop()));
    const back = linkIs(({ phase }) => phase === "open");
    await Promise.all([site.stack.start("gateway-1"), site.stack.start("gateway-2")]);
    await back;
    await until("the member is let in again", SETTLE_DEADLINE_MS, async () => {
      const { outcome, granted } = seen(await present(agent, RIGHT, 1));
      return outcome === "MATCH" && granted;
    });
  });

  it("forgets the person by their own wish, with a receipt", async () => {
    const { memberId, authority } = member;
    const receipt = await post("/api/v1/erasures", { memberId, authority });
    expect(receipt).toMatchObject({ status: 200, body: { memberId, requestedBy: "member" } });
    expect(seen(await present(agent, RIGHT, 2))).toMatchObject({ outcome: "NO_MATCH", granted: false });
  });

  it("closes the link of a lane that is revoked, and welcomes it no more", async () => {
    const refused = linkIs(
      (state) =>
        state.phase === "waiting" && state.after.kind === "refused" && state.after.code === "UNAUTHENTICATED",
    );
    expect(await site.api.revoke(deviceId)).toMatchObject({ ok: true });
    await refused;
    expect(await site.api.revoke(deviceId)).toMatchObject({ ok: false, code: "NOT_FOUND" });
  });

  it("says on the command line what is wrong", async () => {
    const none = await palmgate("pass", "--kind", "lane", "--site", "nowhere", "--gallery", GALLERY);
    expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining("SITE_UNKNOWN") });
    expect(await palmgate("pass", "--site", "north")).toMatchObject({ code: 2 });
    const help = await palmgate("pass", "--help");
    expect(help).toMatchObject({ code: 0, stdout: expect.stringContaining("--minutes") });
  });
});
