// Who holds which partition: rendezvous hashing (Thaler and Ravishankar, 1998). Pure.
//
// Invariants:
// - every process that knows the same workers comes to the same answer, without asking anybody;
// - a partition has min(R, workers) different holders;
// - when a worker leaves, only its partitions move; when one joins, partitions move only to it.

/** FNV-1a, 32 bits. */
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

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

/** FNV-1a over the three names, then MurmurHash3's finaliser, which spreads names that differ in one digit. */
function weigh(worker: string, gallery: string, partition: number): number {
  const text = `${worker}\0${gallery}\0${partition}`;
  let hash = FNV_OFFSET;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), FNV_PRIME);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
