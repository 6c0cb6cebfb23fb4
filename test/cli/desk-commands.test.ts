// What operators ask of a desk, on the command line.
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { deskCommand, tableOf } from "../../cli/desk-commands.js";
import { makeDeviceKey } from "../../edge-agent/device-key.js";
import { directoryKey } from "../../wire/directory.js";
import { type DeskRig, GALLERY, ORGANISATION, openDeskRig, TOKEN } from "../desk/support.js";

let rig: DeskRig;
beforeAll(async () => {
  rig = await openDeskRig();
  vi.stubEnv("PALMGATE_DESK", rig.desks[0]?.url);
  vi.stubEnv("PALMGATE_OPERATOR_TOKEN", TOKEN);
  for (let n = 0; n < 250; n++) {
    const id = `gate-${String(n).padStart(3, "0")}`;
    const { publicKeyBase64: publicKey } = makeDeviceKey();
    const device = {
      organisation: ORGANISATION,
      id,
      publicKey,
      site: "north",
      purpose: "ENTRY",
      gallery: GALLERY,
    };
    await rig.directory.create(directoryKey.device(id), device);
  }
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rig?.close();
});

async function palmgate(
  name: string,
  ...args: string[]
): Promise<{ code: number; out: string; err: string }> {
  const text = { out: "", err: "" };
  const out = vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
    text.out += chunk;
    return true;
  });
  const err = vi.spyOn(process.stderr, "write").mockImplementation((chunk) => {
    text.err += chunk;
    return true;
  });
  try {
    return { code: await deskCommand(name, "words")(args), ...text };
  } finally {
    out.mockRestore();
    err.mockRestore();
  }
}

describe("commands that ask a desk", () => {
  it("read a list to its end, as a table or as JSON", async () => {
    const json = await palmgate("devices list", "--json");
    expect((JSON.parse(json.out) as unknown[]).length).toBe(250);
    const table = await palmgate("devices list");
    expect(table.out.split("\n")).toHaveLength(252);
    expect(table.out).toMatch(/^deviceId +site +purpose/);
  });

  it("take an id, and say in one line what was refused", async () => {
    expect(await palmgate("devices revoke", "gate-007")).toMatchObject({ code: 0 });
    const again = await palmgate("devices revoke", "gate-007");
    expect(again).toMatchObject({ code: 1, out: "" });
    expect(again.err).toMatch(/^palmgate devices revoke: NOT_FOUND: .+\n$/);
    await expect(palmgate("devices revoke")).rejects.toThrow("DEVICE is needed");
    await expect(palmgate("devices revoke", "gate-1", "--nonsense")).rejects.toThrow("--help");
  });

  it("show the fleet", async () => {
    const { out } = await palmgate("status");
    expect(out).toContain("fleet");
    expect(out).toContain("0 of 256 shards are served by a matcher");
  });

  it("explain themselves without a desk", async () => {
    expect((await palmgate("payments refund", "--help")).out).toContain(
      "Usage: palmgate payments refund PRESENTATION",
    );
  });
});

it("tables line up, whatever is missing", () => {
  expect(
    tableOf([
      { a: 1, b: "two" },
      { a: null, c: ["x", "y"] },
    ]),
  ).toBe("a  b    c\n1  two\n-       x,y\n");
  expect(tableOf({ name: "n", list: [{ id: 1 }], inner: { a: { b: 2 } } })).toBe(
    "name   n\nlist\n  id\n  1\ninner  a=(b=2)\n",
  );
  expect(tableOf([])).toBe("none\n");
});
