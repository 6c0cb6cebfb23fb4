// A small site has one address: what comes for /link is handed on to a gateway, and from there on the desk only carries
// bytes.
//
// Invariants (test/desk/link-handoff.test.ts):
// - the client's request and all that follows reach the gateway as they came, and the other way round; nothing is looked at;
// - gateways are taken in turn, those that say they are ready first; one that takes no connection is passed over;
// - at most MAX_LINKS at once;
// - an end on one side ends the other; a side that does not read stops the other from sending, and costs no memory.
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { connect, isIP, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import type { GatewayState } from "../wire/gateways.js";
import type { HandoffResult } from "./metrics.js";

const CONNECT_DEADLINE_MS = 1500;
/** Through this desk, linked or on their way; the rest is told to come again. */
const MAX_LINKS = 4096;
const NO_GATEWAY =
  "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
const ANY_ADDRESS: Record<string, string> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

export interface HandoffOptions {
  gateways(): readonly GatewayState[];
  /** PEM: what gateways with TLS are checked against; left out: what the system trusts. */
  caFile: string | undefined;
  metrics: { handoff(result: HandoffResult): void };
  /** Default: MAX_LINKS. */
  maxLinks?: number;
}

export interface Handoff {
  /** Takes an upgrade of /link. Never rejects. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
  links(): number;
  close(): void;
}

export function openHandoff({ gateways, caFile, metrics, maxLinks = MAX_LINKS }: HandoffOptions): Handoff {
  const ca = caFile === undefined ? undefined : readFileSync(caFile);
  const open = new Set<Duplex>();
  let turn = 0;
  return {
    upgrade: async (request, client, head) => {
      client.on("error", () => client.destroy());
      client.on("close", () => open.delete(client));
      client.pause();
      const isFull = open.size >= maxLinks;
      open.add(client);
      const gateway = isFull ? undefined : await firstThatTakes(inTurn(gateways(), turn++), ca);
      if (gateway === undefined || client.destroyed) {
        metrics.handoff("no_gateway");
        gateway?.destroy();
        client.end(NO_GATEWAY);
        client.resume();
        return;
      }
      metrics.handoff("handed");
      gateway.write(headOf(request));
      if (head.length > 0) gateway.write(head);
      join(client, gateway);
    },
    links: () => open.size,
    close: () => {
      for (const client of open) client.destroy();
    },
  };
}

/** The request as it came, header by header. */
function headOf({ method = "GET", url = "/", httpVersion, rawHeaders }: IncomingMessage): Buffer {
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let at = 0; at < rawHeaders.length; at += 2) lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

function join(client: Duplex, gateway: Socket): void {
  client.on("close", () => gateway.destroy());
  gateway.on("close", () => client.destroy());
  client.pipe(gateway);
  gateway.pipe(client);
}

function inTurn(all: readonly GatewayState[], turn: number): GatewayState[] {
  const sorted = [...all].sort((a, b) => (a.id < b.id ? -1 : 1));
  const isReady = ({ notReady }: GatewayState) => notReady.length === 0;
  const parts = [sorted.filter(isReady), sorted.filter((each) => !isReady(each))];
  return parts.flatMap((part) => {
    const first = turn % Math.max(1, part.length);
    return [...part.slice(first), ...part.slice(0, first)];
  });
}

async function firstThatTakes(
  gateways: readonly GatewayState[],
  ca: Buffer | undefined,
): Promise<Socket | undefined> {
  for (const gateway of gateways) {
    const socket = await dialled(gateway, ca);
    if (socket !== undefined) return socket;
  }
  return undefined;
}

function dialled(
  { host: told, port, tls }: GatewayState,
  ca: Buffer | undefined,
): Promise<Socket | undefined> {
  const host = ANY_ADDRESS[told] ?? told;
  return new Promise((resolve) => {
    const socket: Socket = tls
      ? connectTls({ host, port, ...(ca ? { ca } : {}), ...(isIP(host) ? {} : { servername: host }) })
      : connect(port, host);
    const give = (isTaken: boolean) => {
      socket.removeAllListeners();
      socket.setTimeout(0);
      // Until somebody else listens: an error without a listener ends the process.
      socket.on("error", () => socket.destroy());
      if (!isTaken) socket.destroy();
      resolve(isTaken ? socket : undefined);
    };
    socket.setNoDelay(true);
    socket.setTimeout(CONNECT_DEADLINE_MS, () => give(false));
    socket.once(tls ? "secureConnect" : "connect", () => give(true));
    socket.once("error", () => give(false));
  });
}
