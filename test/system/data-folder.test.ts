// A ledger's data folder is its own: a second ledger on it is refused, and a killed one leaves no lock behind.
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { startChild } from "../../cli/stack/child.js";
import { openSite } from "./support.js";

it("a ledger on another ledger's data folder ends with one line; after a kill the folder is free at once", async () => {
  const site = await openSite({ gateways: 1, desks: 1, ledgers: 1, rows: 1 });
  onTestFinished(() => site.close());
  const { stack } = site;
  const folder = join(stack.applyFile, "..", "ledger-1");
  const second = startChild({
    name: "second",
    args: ["ledger", "--ledger-id", "second", "--ops-port", "0", "--data-dir", folder],
    env: stack.env,
    logFile: join(folder, "..", "second.log"),
  });
  await expect(second).rejects.toThrow(
    /ended at start \(2\)[\s\S]*\npalmgate ledger: --data-dir: .*ledger-1 is in use by another process\. Give each/,
  );
  await stack.child("ledger-1").kill();
  expect((await stack.start("ledger-1")).ready).toMatchObject({ ready: true });
});
