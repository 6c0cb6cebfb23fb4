// Decisions as they fall, for the live page and whoever else watches: a bounded memory and a list of listeners.
import type { LiveDecision, LiveFeed } from "./seams.js";

const MAX_RECENT_DECISIONS = 100;

export class DecisionFeed implements LiveFeed {
  readonly #listeners = new Set<(decision: LiveDecision) => void>();
  readonly #recent: LiveDecision[] = [];

  subscribe(listener: (decision: LiveDecision) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  recent(): readonly LiveDecision[] {
    return this.#recent;
  }

  publish(decision: LiveDecision): void {
    this.#recent.push(decision);
    if (this.#recent.length > MAX_RECENT_DECISIONS) this.#recent.shift();
    for (const listener of this.#listeners) listener(decision);
  }
}
