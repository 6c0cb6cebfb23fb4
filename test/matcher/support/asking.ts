// Asks rows as a gateway does, again and again, and counts what was not a good answer.
import type { bus } from "../../../wire/codec.js";
import { SHARDS } from "../../../wire/shard.js";
import { type Cluster, type Person, servedByRow } from "./cluster.js";
import { StaleHandlesError } from "./searcher.js";

export interface Asked {
  asked: number;
  failed: string[];
}

/**
 * Asks whichever row looks whole by what was heard last; each answer must be whole and right.
 * @returns ends it
 */
export function askWithoutPause(cluster: Cluster, people: readonly Person[]): () => Promise<Asked> {
  const result: Asked = { asked: 0, failed: [] };
  let states: bus.WorkerState[] = [];
  cluster.workers.onEach((latest) => {
    states = latest;
  });
  let stopped = false;
  const rowNow = () => {
    const rows = Array.from({ length: cluster.directory.fleet()?.rows ?? 1 }, (_, row) => row);
    return rows.find((row) => servedByRow(states, row).size === SHARDS) ?? 0;
  };
  const done = (async () => {
    for (let i = 0; !stopped; i++) {
      const person = people[i % people.length];
      if (person === undefined) return;
      result.asked += 1;
      const ask = () => cluster.searcher.best(rowNow(), person.signature);
      const best = await ask()
        .catch((error: unknown) => (error instanceof StaleHandlesError ? ask() : Promise.reject(error)))
        .catch(String);
      if (typeof best === "string") result.failed.push(best);
      else if (best?.member !== person.hex) result.failed.push("wrong");
      else if (best.facts === undefined) result.failed.push("no facts");
    }
  })();
  return async () => {
    stopped = true;
    await done;
    return result;
  };
}
