// How far a bench has come: a line on stderr now and then.
import { performance } from "node:perf_hooks";

const INTERVAL_MS = 2000;

/** @param say writes one line @returns to be called after each step; the last one is always said */
export function ticker(say: (text: string) => void, what: string, total: number): () => void {
  let [done, saidMs] = [0, performance.now()];
  return () => {
    done++;
    const nowMs = performance.now();
    if (done < total && nowMs - saidMs < INTERVAL_MS) return;
    saidMs = nowMs;
    say(`${what} ${done} of ${total}`);
  };
}
