// Decisions as they fall, of all gateways: heard from the bus, kept for who comes later, counted.
//
// Invariant: what is kept is bounded (MAX_RECENT_DECISIONS, and what stats.ts needs).
import type { NatsConnection } from "@nats-io/transport-node";
import { type LiveDecision, readLive } from "../../wire/live.js";
import { liveSubject } from "../../wire/subjects.js";
import { LiveStats, type LiveStatsNow } from "./stats.js";

const MAX_RECENT_DECISIONS = 100;

export interface LiveFeed {
  /** The latest decisions, oldest first, bounded. */
  recent(): readonly LiveDecision[];
  stats(): LiveStatsNow;
  /** A listener must be quick and must not throw. @returns ends it */
  subscribe(listener: (decision: LiveDecision) => void): () => void;
}

export class DecisionFeed implements LiveFeed {
  readonly #stats = new LiveStats();
  readonly #recent: LiveDecision[] = [];
  readonly #listeners = new Set<(decision: LiveDecision) => void>();

  /** Listens to every organisation's decisions. @returns the feed, and what ends it */
  static follow(nats: NatsConnection): { feed: DecisionFeed; stop: () => void } {
    const feed = new DecisionFeed();
    const subscription = nats.subscribe(liveSubject("*"), {
      callback: (error, message) => {
        const decision = error === null ? readLive(message.string()) : undefined;
        if (decision !== undefined) feed.say(decision);
      },
    });
    return {
      feed,
      stop: () => {
        if (!subscription.isClosed()) subscription.unsubscribe();
      },
    };
  }

  recent = (): readonly LiveDecision[] => this.#recent;
  stats = (): LiveStatsNow => this.#stats.now();

  subscribe(listener: (decision: LiveDecision) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  say(decision: LiveDecision): void {
    this.#stats.add(decision);
    this.#recent.push(decision);
    if (this.#recent.length > MAX_RECENT_DECISIONS) this.#recent.shift();
    for (const listener of this.#listeners) listener(decision);
  }
}
