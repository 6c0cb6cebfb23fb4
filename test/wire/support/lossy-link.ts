// A TCP relay in front of nats-server that can swallow what the server sends, and cut every link.
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

export interface LossyLink {
  url: string;
  /** While true, what the server sends is lost; it is sent in whole protocol messages when little is sent. */
  swallowing: boolean;
  /** When it says so, this piece of what the server sends is lost. */
  swallows: (chunk: Buffer) => boolean;
  cut(): void;
  close(): Promise<void>;
}

export async function openLossyLink(serverUrl: string): Promise<LossyLink> {
  const target = new URL(serverUrl);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      // A cut link ends both ways; its errors are the test's own doing.
      socket.on("error", () => socket.destroy());
    }
    client.pipe(upstream);
    upstream.on("data", (chunk: Buffer) => {
      if (!link.swallowing && !link.swallows(chunk)) client.write(chunk);
    });
    upstream.on("close", () => client.destroy());
    client.on("close", () => upstream.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const url = new URL(serverUrl);
  url.port = String(address.port);
  const link: LossyLink = {
    url: url.href.replace(/\/$/, ""),
    swallowing: false,
    swallows: () => false,
    cut: () => {
      for (const socket of sockets) socket.destroy();
    },
    close: async () => {
      link.cut();
      server.close();
      await once(server, "close");
    },
  };
  return link;
}
