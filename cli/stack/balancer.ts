// A plain TCP balancer, round robin and without stickiness, as a site with several gateways puts before them. For the
// demo, the benches and the system tests: operators have their own.
//
// Invariants (test/cli/balancer.test.ts):
// - bytes pass untouched, both ways; a connection that ends on one side ends on the other;
// - a target that takes no connection is passed over, and tried again with the next connection;
// - with no target left the connection is closed, not kept waiting.
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

const CONNECT_DEADLINE_MS = 1000;

export interface Balancer {
  port: number;
  close(): Promise<void>;
}

/** @param targets ports on the loopback address, asked anew for each connection */
export async function openBalancer(targets: () => readonly number[], port = 0): Promise<Balancer> {
  const open = new Set<Socket>();
  const keep = (socket: Socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => socket.destroy());
  };
  let turn = 0;
  const server = createServer({ pauseOnConnect: true }, (client) => {
    keep(client);
    const ports = targets();
    const first = turn++;
    const inTurn = ports.map((_, at) => ports[(first + at) % ports.length] ?? 0);
    void firstThatTakes(inTurn).then((target) => {
      if (target === undefined || client.destroyed) {
        client.destroy();
        target?.destroy();
        return;
      }
      keep(target);
      client.pipe(target);
      target.pipe(client);
      client.on("close", () => target.destroy());
      target.on("close", () => client.destroy());
      client.resume();
    });
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.close();
      for (const socket of open) socket.destroy();
      await once(server, "close");
    },
  };
}

async function firstThatTakes(ports: readonly number[]): Promise<Socket | undefined> {
  for (const port of ports) {
    const socket = await dialled(port);
    if (socket !== undefined) return socket;
  }
  return undefined;
}

function dialled(port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const give = (taken: boolean) => {
      socket.removeAllListeners();
      socket.setTimeout(0);
      if (!taken) socket.destroy();
      resolve(taken ? socket : undefined);
    };
    socket.setTimeout(CONNECT_DEADLINE_MS, () => give(false));
    socket.once("connect", () => give(true));
    socket.once("error", () => give(false));
  });
}
