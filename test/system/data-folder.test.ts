// A gateway's data folder is its own: a second gateway on it is refused, and a killed one leaves no lock behind.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { startChild } from "../../cli/stack/child.js";
import { startStack } from "../../cli/stack/stack.js";
import { DEVICES } from "./support.js";

it("a gateway on another gateway's data folder ends with one line; after a kill the folder is free at once", async () => {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-system-"));
  const stack = await startStack({ dir, matchers: 0, partitions: 1, replicas: 1, devices: [...DEVICES] });
  onTestFinished(async () => {
    await stack.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const logFile = join(dir, "second.log");
  const args = ["gateway", "--port", "0", "--ops-port", "0", "--site-file", stack.siteFile];
  const second = startChild({
    name: "second",
    args: [...args, "--data-dir", join(dir, "gateway")],
    env: {
      PALMGATE_NATS_URL: stack.nats.url,
      PALMGATE_OPERATOR_TOKEN: stack.operatorToken,
      PALMGATE_MASTER_KEY: "00".repeat(32),
    },
    logFile,
  });
  await expect(second).rejects.toThrow(
    /ended at start \(2\)[\s\S]*\npalmgate gateway: --data-dir: .*gateway is in use by another process\. Give each/,
  );
  await stack.gateway().kill();
  await stack.restartGateway();
  expect(stack.gateway().ready).toMatchObject({ ready: true });
});
