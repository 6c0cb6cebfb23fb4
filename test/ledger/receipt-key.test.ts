// The fleet's key for receipts, made by several ledgers at once on a real nats-server.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FleetReceiptKey } from "../../ledger/receipt-key.js";
import { signingKeyId } from "../../records/index.js";
import { openDirectory } from "../../wire/directory.js";
import { openKeyring } from "../../wire/keyring.js";
import { log, openRig, type Rig, until } from "./support/rig.js";

describe("the key for receipts", () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await openRig();
  });
  afterAll(() => rig.close());

  it("is made once, whoever is first, and opens for all; its private half lies nowhere in the clear", async () => {
    const directories = await Promise.all(
      Array.from({ length: 5 }, async () => openDirectory(await rig.connect(), log)),
    );
    const keys = directories.map((directory) => new FleetReceiptKey(directory, rig.keyring, log));
    await Promise.all(keys.map((key) => key.make()));
    await until("all see it", () => keys.every((key) => key.newest() !== undefined));
    const ids = keys.map((key) => signingKeyId(key.newest() ?? failed()));
    expect(new Set(ids).size).toBe(1);
    const [known, ...more] = rig.directory.receiptKeys();
    expect(more).toEqual([]);
    expect(known?.keyId).toBe(ids[0]);
    const der = keys[0]?.newest()?.export({ type: "pkcs8", format: "der" }) ?? failed();
    expect(JSON.stringify(known)).not.toContain(der.subarray(-32).toString("base64").slice(0, 20));
    for (const directory of directories) await directory.close();
  });

  it("does not open under another master key", () => {
    const other = openKeyring(new Uint8Array(32).fill(8), () => []);
    expect(new FleetReceiptKey(rig.directory, other, log).newest()).toBeUndefined();
  });
});

function failed(): never {
  throw new Error("no key");
}
