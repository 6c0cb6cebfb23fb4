// Which partitions have a matcher that answers, from what the workers say of themselves. For readiness and gauges only:
// a search asks every partition, whatever is written here.
import type { bus } from "../wire/codec.js";
import type { SiteFile } from "./sites.js";

export interface GalleryPartitions {
  name: string;
  partitions: number;
  partitionsReady: number;
  replicas: number;
}

/** Per gallery of the site file: partitions, and those with at least one ready holder. */
export function partitionsOf(site: SiteFile, workers: readonly bus.IWorkerState[]): GalleryPartitions[] {
  const ready = new Map<string, Set<number>>();
  for (const worker of workers) {
    for (const held of worker.partitions ?? []) {
      if (!held.ready || !held.gallery) continue;
      const those = ready.get(held.gallery) ?? new Set();
      ready.set(held.gallery, those.add(held.partition ?? 0));
    }
  }
  return site.galleries.map(({ name, partitions, replicas }) => ({
    name,
    partitions,
    replicas,
    partitionsReady: [...(ready.get(name) ?? [])].filter((partition) => partition < partitions).length,
  }));
}
