// The balancer that stands before the gateways of a stack.
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { type Balancer, openBalancer } from "../../cli/stack/balancer.js";

const servers: Server[] = [];
let balancer: Balancer | undefined;
afterEach(async () => {
  await balancer?.close();
  for (const server of servers.splice(0)) server.close();
});

/** Answers every chunk with its name before it, and ends when the client does. */
async function echo(name: string): Promise<number> {
  const server = createServer((socket) => {
    socket.on("data", (chunk) => socket.write(`${name}:${chunk}`));
  });
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function ask(port: number, text: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  const answer = new Promise<string>((resolve) => {
    socket.once("data", (chunk) => resolve(chunk.toString()));
    socket.once("close", () => resolve("closed"));
    socket.once("error", () => resolve("closed"));
  });
  socket.write(text);
  const said = await answer;
  socket.destroy();
  return said;
}

describe("the balancer", () => {
  it("takes targets in turn and passes bytes both ways", async () => {
    const ports = [await echo("a"), await echo("b")];
    balancer = await openBalancer(() => ports);
    const answers = [];
    for (const text of ["1", "2", "3", "4"]) answers.push(await ask(balancer.port, text));
    expect(answers).toEqual(["a:1", "b:2", "a:3", "b:4"]);
  });

  it("passes over a target that takes no connection, and closes when none is left", async () => {
    const alive = await echo("alive");
    const dead = await echo("dead");
    servers.pop()?.close();
    let ports = [dead, alive];
    balancer = await openBalancer(() => ports);
    expect([await ask(balancer.port, "1"), await ask(balancer.port, "2")]).toEqual(["alive:1", "alive:2"]);
    ports = [dead];
    expect(await ask(balancer.port, "3")).toBe("closed");
  });

  it("ends a connection on one side when it ends on the other", async () => {
    const port = await echo("a");
    balancer = await openBalancer(() => [port]);
    const [server] = servers;
    const accepted = new Promise<import("node:net").Socket>((resolve) => server?.once("connection", resolve));
    const client = connect(balancer.port, "127.0.0.1");
    const behind = await accepted;
    behind.destroy();
    await once(client, "close");
    expect(client.destroyed).toBe(true);
  });
});
