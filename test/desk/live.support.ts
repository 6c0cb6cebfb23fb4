// The live page without a fleet: decisions and a status made by hand, the real server, pages and feed. The page does not
// care who decided.
import { openAccess } from "../../desk/access.js";
import { openApp } from "../../desk/app.js";
import type { Status } from "../../desk/fleet/status.js";
import type { DecisionFeed } from "../../desk/live/feed.js";
import { type Live, openLive } from "../../desk/live/live.js";
import { servePages } from "../../desk/pages/pages.js";
import { Throttle } from "../../desk/throttle.js";
import { routeUpgrades } from "../../desk/upgrades.js";
import type { LiveDecision } from "../../wire/live.js";
import { openLog } from "../../wire/log.js";

export const OPERATOR_TOKEN = "operator-secret-of-the-page";

export interface ServedPages {
  port: number;
  url: string;
  live: Live;
  close(): Promise<void>;
}

export async function servePagesOf(
  feed: DecisionFeed,
  { livePage = "open", port = 0 }: { livePage?: "open" | "token"; port?: number } = {},
): Promise<ServedPages> {
  const access = openAccess(OPERATOR_TOKEN, new Throttle({ maxWrong: 20, windowMs: 60_000 }));
  const log = openLog("pages-test");
  const app = await openApp({
    log,
    metrics: { apiRequest: () => {} },
    access,
    trustedProxies: [],
    requestsPerMinute: 10_000,
  });
  await servePages(app);
  const live = openLive({
    feed,
    status: () => status(),
    tokenHolds: livePage === "open" ? undefined : (token) => access.tokenHolds("192.0.2.1", token) === true,
  });
  routeUpgrades(app.server as import("node:http").Server, { "/live": live.upgrade });
  await app.listen({ host: "127.0.0.1", port });
  const address = app.server.address();
  const listening = typeof address === "object" ? (address?.port ?? 0) : 0;
  return {
    port: listening,
    url: `http://127.0.0.1:${listening}/`,
    live,
    close: async () => {
      await live.close();
      await app.close();
    },
  };
}

export function decision(changed: Partial<LiveDecision> = {}): LiveDecision {
  return {
    organisation: "acme",
    gateway: "g1",
    atUnixMs: Date.now(),
    site: "market-street",
    deviceId: "gate-1",
    purpose: "ENTRY",
    outcome: "MATCH",
    granted: true,
    reason: "WELCOME_MEMBER",
    displayKey: "decision.welcome",
    pairwiseId: "k7q2mzx4wbt5fhae",
    stages: {
      receiveMs: 0.4,
      queueMs: 1.2,
      signMs: 6.1,
      searchMs: 3.2,
      decideMs: 0.2,
      actMs: 0.3,
      totalMs: 12.6,
    },
    frames: 1,
    ...changed,
  };
}

const laneOf = (deviceId: string, site: string, purpose: "ENTRY" | "PAY", connected: boolean) => ({
  deviceId,
  organisation: "acme",
  site,
  purpose,
  gallery: "members",
  connected,
  gateway: connected ? "g1" : null,
});

export const status = (changed: Partial<Status> = {}): Status => ({
  modelId: "palm-256-v3",
  fleet: { rows: 2, slots: 1, shards: 256, shardsServed: 256, missingReplicas: 0, members: 1234 },
  log: { beatAgeMs: 300, leader: "l1" },
  organisations: [{ name: "acme", galleries: ["members"], sites: ["market-street", "north-stand"] }],
  gateways: [{ id: "g1", transport: "uws-native", lanes: 2, presentations: 0, notReady: [] }],
  matchers: [],
  ledgers: [],
  lanes: [
    laneOf("gate-1", "market-street", "ENTRY", true),
    laneOf("till-1", "market-street", "PAY", true),
    laneOf("turnstile-7", "north-stand", "ENTRY", false),
  ],
  notReady: [],
  ...changed,
});

/** One decision of every kind, as an afternoon would bring them. */
export function afternoon(): LiveDecision[] {
  const stages = decision().stages;
  const kinds: Partial<LiveDecision>[] = [
    {},
    {
      deviceId: "till-1",
      purpose: "PAY",
      reason: "PAYMENT_APPROVED",
      displayKey: "decision.payment_approved",
      pairwiseId: "mf3nq7wz2kd4xbta",
      stages: { ...stages, actMs: 14.2, totalMs: 27.1 },
    },
    {
      outcome: "NO_MATCH",
      granted: false,
      reason: "NOT_RECOGNISED",
      displayKey: "decision.not_recognised",
      pairwiseId: "",
      stages: { ...stages, signMs: 18.4, searchMs: 9.1, totalMs: 44.9 },
      frames: 3,
    },
    {
      deviceId: "till-1",
      purpose: "PAY",
      granted: false,
      reason: "INSUFFICIENT_FUNDS",
      displayKey: "decision.insufficient_funds",
      pairwiseId: "z5x4t6ub7hqc2lmw",
      stages: { ...stages, actMs: 11.8, totalMs: 24.3 },
    },
    {
      outcome: "LOW_QUALITY",
      granted: false,
      reason: "BLURRED",
      displayKey: "decision.blurred",
      pairwiseId: "",
      stages: { ...stages, searchMs: 0, totalMs: 33.5 },
      frames: 3,
    },
    {
      outcome: "UNDECIDED",
      granted: false,
      reason: "SHARD_MISSING",
      displayKey: "decision.one_moment",
      pairwiseId: "",
      stages: { ...stages, searchMs: 31, totalMs: 42 },
    },
  ];
  return Array.from({ length: 24 }, (_, index) =>
    decision({
      ...kinds[index % kinds.length],
      atUnixMs: Date.now() - (24 - index) * 1700,
      ...(index % 6 === 0
        ? { pairwiseId: ["k7q2mzx4wbt5fhae", "p4dw2ru6ysnc7vka"][(index / 6) % 2] ?? "" }
        : {}),
    }),
  );
}
