// Who holds which partition: rendezvous hashing (Thaler and Ravishankar, 1998). Pure.
//
// Invariants:
// - every process that knows the same workers comes to the same answer, without asking anybody;
// - a partition has min(R, workers) different holders;
// - when a worker leaves, only its partitions move; when one joins, partitions move only to it.
import { createHash } from "node:crypto";

/** Bytes of the hash that weigh: 48 bits fit a number exactly. */
const WEIGHT_BYTES = 6;

/** The workers that hold a partition, heaviest first. The order in which `workers` come does not matter. */
export function holdersOf(
  workers: readonly string[],
  gallery: string,
  partition: number,
  replicas: number,
): string[] {
  return [...new Set(workers)]
    .map((worker) => ({ worker, weight: weigh(worker, gallery, partition) }))
    .sort((a, b) => b.weight - a.weight || (a.worker < b.worker ? -1 : 1))
    .slice(0, replicas)
    .map(({ worker }) => worker);
}

function weigh(worker: string, gallery: string, partition: number): number {
  const hash = createHash("sha256").update(`${worker}\0${gallery}\0${partition}`).digest();
  return hash.readUIntBE(0, WEIGHT_BYTES);
}
