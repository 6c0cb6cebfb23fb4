// What a lane page talks to: the desk's real pages, pairing by script, and behind its hand-over of links a gateway that
// the test plays.
import type { AddressInfo } from "node:net";
import { z } from "zod";
import { openApp } from "../../desk/app.js";
import { openHandoff } from "../../desk/link-handoff.js";
import { servePages } from "../../desk/pages/pages.js";
import { edge } from "../../wire/codec.js";
import { openLog } from "../../wire/log.js";
import { FakeGateway } from "../edge-agent/fake-gateway.js";

export const DEVICE = "web-1";
export const GOOD_PASS = "GOOD-PASS";
const pairing = z.object({ pass: z.string(), publicKey: z.string() });
/** A page is slower than an agent in the same process. */
const HEARTBEAT_INTERVAL_MS = 500;

export interface LaneFront {
  port: number;
  gateway: FakeGateway;
  /** Public keys in the order in which passes were redeemed. */
  keys: string[];
  purpose(purpose: "ENTRY" | "PAY"): void;
  close(): Promise<void>;
}

export async function openLaneFront(): Promise<LaneFront> {
  const gateway = await FakeGateway.start();
  const keys: string[] = [];
  let purpose: "ENTRY" | "PAY" = "ENTRY";
  const setPurpose = (to: "ENTRY" | "PAY") => {
    purpose = to;
    gateway.welcome = {
      site: "north",
      purpose: edge.Purpose[to],
      gallery: "g",
      heartbeatIntervalMs: HEARTBEAT_INTERVAL_MS,
    };
  };
  setPurpose("ENTRY");
  const app = await openApp({
    log: openLog("test-desk"),
    metrics: { apiRequest: () => {} },
    access: { isOperator: () => true, demandOperator: () => {}, tokenHolds: () => true },
    trustedProxies: [],
    requestsPerMinute: 1000,
  });
  await servePages(app);
  const route = { config: { access: "anybody" as const }, schema: { body: pairing } };
  app.post("/api/v1/lanes", route, async ({ body: { pass, publicKey } }, reply) => {
    if (pass !== GOOD_PASS) {
      return reply.code(401).send({ detail: "This pass is not known.", next: "Ask for a new one." });
    }
    keys.push(publicKey);
    return { deviceId: DEVICE, site: "north", purpose, gallery: "g" };
  });
  const state = { id: "g1", instance: "1", host: "127.0.0.1", port: gateway.port, tls: false };
  const handoff = openHandoff({
    gateways: () => [{ ...state, lanes: 0, presentations: 0, transport: "fake", notReady: [] }],
    caFile: undefined,
    metrics: { handoff: () => {} },
  });
  app.server.on("upgrade", (request, socket, head) => void handoff.upgrade(request, socket, head));
  await app.listen({ host: "127.0.0.1", port: 0 });
  return {
    port: (app.server.address() as AddressInfo).port,
    gateway,
    keys,
    purpose: setPurpose,
    close: async () => {
      handoff.close();
      await app.close();
      await gateway.stop();
    },
  };
}
