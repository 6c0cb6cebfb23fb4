// Decisions and a status as the live page gets them, made by hand: the page does not care who decided.
import type { GatewayStatus, LiveDecision, LiveFeed } from "../../gateway/seams.js";

export class FakeFeed implements LiveFeed {
  readonly #listeners = new Set<(decision: LiveDecision) => void>();
  readonly decisions: LiveDecision[] = [];

  subscribe(listener: (decision: LiveDecision) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  recent(): readonly LiveDecision[] {
    return this.decisions;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  say(decision: LiveDecision): void {
    this.decisions.push(decision);
    for (const listener of this.#listeners) listener(decision);
  }
}

export function decision(changed: Partial<LiveDecision> = {}): LiveDecision {
  return {
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

export const status = (changed: Partial<GatewayStatus> = {}): GatewayStatus => ({
  transport: "uws-native",
  modelId: "palm-256-v3",
  lanes: [
    { deviceId: "gate-1", site: "market-street", purpose: "ENTRY", gallery: "members", connected: true },
    { deviceId: "till-1", site: "market-street", purpose: "PAY", gallery: "members", connected: true },
    { deviceId: "turnstile-7", site: "north-stand", purpose: "ENTRY", gallery: "members", connected: false },
  ],
  presentationsActive: 0,
  unrecordedEvents: 0,
  galleries: [{ name: "members", partitions: 8, partitionsReady: 8, replicas: 2 }],
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
      reason: "PARTITION_MISSING",
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
