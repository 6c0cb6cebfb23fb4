import { Registry } from "prom-client";
import { expect, it } from "vitest";
import { UsageError } from "../../wire/config.js";
import { openOpsServer } from "../../wire/ops-server.js";

it("a port for operators that is taken is told as wrong configuration, with the option to change", async () => {
  const options = { host: "127.0.0.1", registry: new Registry(), notReady: () => [] };
  const first = await openOpsServer({ ...options, port: 0 });
  const second = openOpsServer({ ...options, port: first.port });
  await expect(second).rejects.toThrow(UsageError);
  await expect(second).rejects.toThrow("--ops-port");
  await first.close();
});
