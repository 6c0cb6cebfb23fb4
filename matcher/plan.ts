// What a worker should open and let go, given what it knows. Pure.
//
// Invariants:
// - a partition is let go only when every one of its new holders says that it is ready;
// - a worker that leaves wants nothing, and lets go by the same rule;
// - the same knowledge always gives the same plan: it is made anew after every change.
import type { bus } from "../wire/codec.js";
import type { Gallery } from "../wire/galleries.js";
import { holdersOf } from "./assignment.js";

export interface PartitionRef {
  gallery: string;
  partition: number;
}

export interface Knowledge {
  self: string;
  /** This worker is on its way out. */
  leaving: boolean;
  galleries: readonly Gallery[];
  /** Workers heard of, with or without ourselves. */
  workers: readonly bus.IWorkerState[];
  /** Partitions open here now, in whatever state. */
  held: readonly PartitionRef[];
}

export interface Plan {
  open: PartitionRef[];
  close: PartitionRef[];
}

export const refKey = ({ gallery, partition }: PartitionRef): string => `${gallery}/${partition}`;

export function planFor({ self, leaving, galleries, workers, held }: Knowledge): Plan {
  const others = workers.flatMap(({ workerId }) => (workerId && workerId !== self ? [workerId] : []));
  const alive = leaving ? others : [...others, self];
  const heldKeys = new Set(held.map(refKey));
  const readyAt = readyHolders(workers);
  const plan: Plan = { open: [], close: [] };
  for (const { name: gallery, partitions, replicas } of galleries) {
    for (let partition = 0; partition < partitions; partition++) {
      const ref = { gallery, partition };
      const key = refKey(ref);
      const holders = holdersOf(alive, gallery, partition, replicas);
      if (holders.includes(self)) {
        if (!heldKeys.has(key)) plan.open.push(ref);
      } else if (heldKeys.has(key) && holders.every((worker) => readyAt.get(key)?.has(worker))) {
        plan.close.push(ref);
      }
    }
  }
  return plan;
}

function readyHolders(workers: readonly bus.IWorkerState[]): Map<string, Set<string>> {
  const readyAt = new Map<string, Set<string>>();
  for (const { workerId, partitions } of workers) {
    for (const { gallery, partition, ready } of partitions ?? []) {
      if (!ready || !workerId) continue;
      const key = refKey({ gallery: gallery ?? "", partition: partition ?? 0 });
      readyAt.set(key, (readyAt.get(key) ?? new Set()).add(workerId));
    }
  }
  return readyAt;
}
