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

it("every process shows whether it is ready, what its log lost, and Node's own numbers", async () => {
  const registry = new Registry();
  let missing = ["nats-server is not reached"];
  const server = await openOpsServer({ host: "127.0.0.1", port: 0, registry, notReady: () => missing });
  const metrics = async () => (await fetch(`http://127.0.0.1:${server.port}/metrics`)).text();
  const before = await metrics();
  expect(before).toMatch(/^palmgate_ready 0$/m);
  expect(before).toMatch(/^palmgate_log_lines_dropped_total 0$/m);
  expect(before).toMatch(/^nodejs_eventloop_lag_seconds /m);
  missing = [];
  expect(await metrics()).toMatch(/^palmgate_ready 1$/m);
  await server.close();
});
