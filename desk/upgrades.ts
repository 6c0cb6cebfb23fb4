// Upgrades are no routes of Fastify: each path that takes one has a handler of its own, and every other path none.
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";

export type TakeUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => unknown;

const NOT_FOUND = "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

export function routeUpgrades(server: Server, handlers: Readonly<Record<string, TakeUpgrade>>): void {
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Until somebody else listens: an error without a listener ends the process.
    socket.on("error", () => socket.destroy());
    const [path = ""] = (request.url ?? "").split("?", 1);
    const take = Object.hasOwn(handlers, path) ? handlers[path] : undefined;
    if (take) take(request, socket, head);
    else socket.end(NOT_FOUND);
  });
}
