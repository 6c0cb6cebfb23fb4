// The server behind lanes: one uWebSockets.js app, its sockets bounded. It serves /link and nothing else.
//
// Invariants:
// - it is the native one: the package falls back to JavaScript in silence where its binary does not fit, and that one
//   must never serve;
// - at most MAX_GREETINGS connections that have not said who they are; the rest are refused before the upgrade;
// - a link that is silent for IDLE_TIMEOUT_S or reads too slowly is closed;
// - with TLS configured there is no plain port.

import uWS from "uWebSockets.js";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { UsageError } from "../wire/config.js";
import { HEARTBEAT_INTERVAL_MS, MAX_EDGE_MESSAGE_BYTES } from "../wire/limits.js";
import { Connection, type Entrance } from "./lane/connection.js";
import { Link } from "./lane/link.js";
import type { GatewayMetrics } from "./metrics.js";

/** Three missed heartbeats, in seconds, as a multiple of 4. */
const IDLE_TIMEOUT_S = Math.ceil((3 * HEARTBEAT_INTERVAL_MS) / 4000) * 4;
/** A lane is sent a few hundred bytes per presentation: whoever has this much unread does not read. */
const MAX_BACKPRESSURE_BYTES = 64 * 1024;
const MAX_GREETINGS = 1024;
const LINK_PATH = "/link";

type Engine = "uws-native" | "uws-javascript";
/** As Welcome says it. */
export const TRANSPORT: Engine = "uws-native";
/** What the package's types leave out. */
export type App = uWS.TemplatedApp & {
  listen(host: string, port: number, options: uWS.ListenOptions, done: ListenDone): App;
  /** Closes every socket and stops listening. */
  close(): void;
};

type ListenDone = (socket: uWS.us_listen_socket | false) => void;

/** Without it a second process could listen on the same port and take half of the lanes. */
const LISTEN_EXCLUSIVELY: uWS.ListenOptions = 1;

export interface Tls {
  certFile: string;
  keyFile: string;
}

interface SocketData {
  connection?: Connection;
}

/** The JavaScript fallback has no TLS, and so no SSLApp. */
const engine = (): Engine => (typeof uWS.SSLApp === "function" ? "uws-native" : "uws-javascript");

/** @throws UsageError where only the JavaScript fallback would run, or when a TLS file cannot be read */
export function openApp(tls: Tls | undefined): App {
  if (engine() !== "uws-native") {
    throw new UsageError(
      "uWebSockets.js has no binary for this machine, and its JavaScript fallback is too slow to serve lanes: " +
        "use Node 20 on x64 or arm64 with glibc or macOS.",
    );
  }
  if (tls === undefined) return uWS.App() as App;
  for (const file of [tls.certFile, tls.keyFile]) readable(file);
  return uWS.SSLApp({ cert_file_name: tls.certFile, key_file_name: tls.keyFile }) as App;
}

function readable(file: string): void {
  try {
    readFileSync(file);
  } catch (error) {
    throw new UsageError(`TLS file ${file} cannot be read: ${(error as Error).message}`);
  }
}

/** Takes lanes on /link. @returns a function that closes every connection that has not greeted yet */
export function serveLanes(
  app: App,
  entrance: Entrance,
  metrics: Pick<GatewayMetrics, "linkError">,
): () => void {
  const greeting = new Map<Connection, Link>();
  app.ws<SocketData>(LINK_PATH, {
    maxPayloadLength: MAX_EDGE_MESSAGE_BYTES,
    maxBackpressure: MAX_BACKPRESSURE_BYTES,
    closeOnBackpressureLimit: 1,
    idleTimeout: IDLE_TIMEOUT_S,
    sendPingsAutomatically: false,
    compression: uWS.DISABLED,
    upgrade: (response, request, context) => {
      if (greeting.size >= MAX_GREETINGS) {
        response
          .writeStatus("503 Service Unavailable")
          .end("too many connections without Hello; try again\n");
        return;
      }
      response.upgrade<SocketData>(
        {},
        request.getHeader("sec-websocket-key"),
        request.getHeader("sec-websocket-protocol"),
        request.getHeader("sec-websocket-extensions"),
        context,
      );
    },
    open: (socket) => {
      const link = new Link(socket, metrics);
      const connection = new Connection(link, entrance);
      socket.getUserData().connection = connection;
      greeting.set(connection, link);
    },
    message: (socket, bytes, isBinary) => {
      const { connection } = socket.getUserData();
      if (connection === undefined) return;
      connection.message(bytes, isBinary);
      if (!connection.greeting) greeting.delete(connection);
    },
    close: (socket) => {
      const { connection } = socket.getUserData();
      if (connection === undefined) return;
      greeting.delete(connection);
      connection.closed();
    },
  });
  app.any("/*", (response) => {
    response
      .writeStatus("404 Not Found")
      .writeHeader("content-type", "text/plain; charset=utf-8")
      .end(
        "This is a Palmgate gateway: it serves lanes, by WebSocket on /link. Pages and the API are the desk's.\n",
      );
  });
  return () => {
    for (const link of [...greeting.values()]) link.refuse("SHUTTING_DOWN");
  };
}

/** Listens; port 0 picks a free one. Rejects when the port is taken. */
export async function listen(app: App, host: string, port: number): Promise<{ port: number; close(): void }> {
  // Port 0 is resolved here: uSockets sets SO_REUSEADDR only for a port that is named, and without it a gateway could
  // not come back on its port for a minute (connections that it closed are in TIME_WAIT).
  const wanted = port === 0 ? await freePort(host) : port;
  return new Promise((resolve, reject) => {
    app.listen(host, wanted, LISTEN_EXCLUSIVELY, (socket) => {
      if (socket === false) {
        return reject(new UsageError(`port ${wanted} on ${host} is taken or not allowed`));
      }
      resolve({ port: wanted, close: () => uWS.us_listen_socket_close(socket) });
    });
  });
}

function freePort(host: string): Promise<number> {
  const probe = createServer();
  return new Promise((resolve, reject) => {
    probe.once("error", reject);
    probe.listen(0, host, () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}
