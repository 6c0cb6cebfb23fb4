// Galleries: the few facts that every process must agree on about a set of members searched together.
//
// Invariants:
// - the facts of a gallery are fixed when it is made: members live in partitions by them, templates are of its model;
// - whoever opens a gallery with other facts is wrongly configured and is told which fact differs.
import type { NatsConnection } from "@nats-io/transport-node";
import { type BucketSpec, followBucket, openBucket, readBucket, retried } from "./bucket.js";
import { bus, decode, encode } from "./codec.js";
import { UsageError } from "./config.js";
import { MAX_PARTITIONS, MAX_REPLICAS, NAME_PATTERN } from "./limits.js";
import type { Log } from "./log.js";
import { BUCKETS } from "./subjects.js";

export interface Gallery {
  name: string;
  /** 1..1024 */
  partitions: number;
  /** R: workers that hold each partition, 1..8. */
  replicas: number;
  modelId: string;
  /** Numbers in the vector of that model's signatures. */
  dimension: number;
  /** That model's signatures have line maps. */
  lineMaps: boolean;
}

const OPEN_DEADLINE_MS = 10_000;
/** A gallery announced while our link was down is found by reading again. */
const REREAD_INTERVAL_MS = 5_000;
const SPEC: BucketSpec = { name: BUCKETS.galleries, storage: "file" };

/**
 * Makes the gallery, or checks that it is there with the same facts. Waits up to 10 s for JetStream.
 * @throws UsageError when a fact is out of range or differs from the gallery's own
 */
export async function openGallery(nc: NatsConnection, wanted: Gallery): Promise<Gallery> {
  check(wanted);
  const kv = await retried(OPEN_DEADLINE_MS, () => openBucket(nc, SPEC));
  const found = await retried(OPEN_DEADLINE_MS, async () => {
    const there = (await kv.get(wanted.name))?.value;
    if (there !== undefined) return { value: parseGallery(there) };
    // Another process may make it between our look and our write: then this rejects and the next round finds it.
    await kv.create(wanted.name, encode(bus.Gallery, wanted));
    return { value: wanted };
  });
  return same(found.value, wanted);
}

/**
 * Follows all galleries: `onChange` gets them all, once at start and after every change.
 * A value that is no gallery is logged and left out.
 */
export async function watchGalleries(
  nc: NatsConnection,
  onChange: (galleries: Gallery[]) => void,
  log?: Log,
): Promise<{ stop(): void }> {
  const galleries = new Map<string, Gallery>();
  const take = (key: string, value: Uint8Array | undefined): boolean => {
    const parsed = value === undefined ? undefined : parseGallery(value);
    if (value !== undefined && parsed === undefined) log?.error({ gallery: key }, "no gallery in this value");
    const before = galleries.get(key);
    if (parsed === undefined) return galleries.delete(key);
    galleries.set(key, parsed);
    return before === undefined || difference(before, parsed) !== undefined;
  };
  const tell = () => onChange([...galleries.values()]);
  const reread = async () => {
    let changed = false;
    for (const [key, value] of await readBucket(nc, SPEC)) changed = take(key, value) || changed;
    return changed;
  };
  const unfollow = followBucket(nc, SPEC.name, (key, value) => {
    if (take(key, value)) tell();
  });
  await retried(OPEN_DEADLINE_MS, reread);
  tell();
  const timer = setInterval(() => {
    if (nc.isClosed()) return;
    reread().then(
      (changed) => changed && tell(),
      (error: unknown) => log?.warn({ error: String(error) }, "galleries cannot be read now; trying again"),
    );
  }, REREAD_INTERVAL_MS);
  return {
    stop: () => {
      clearInterval(timer);
      unfollow();
    },
  };
}

function parseGallery(bytes: Uint8Array): Gallery | undefined {
  const message = decode(bus.Gallery, bytes);
  if (message === undefined) return undefined;
  const { name, partitions, replicas, modelId, dimension, lineMaps } = message;
  const gallery = { name, partitions, replicas, modelId, dimension, lineMaps };
  return problem(gallery) === undefined ? gallery : undefined;
}

function same(found: Gallery | undefined, wanted: Gallery): Gallery {
  if (found === undefined) {
    throw new UsageError(`gallery '${wanted.name}' is damaged in bucket ${SPEC.name}`);
  }
  const fact = difference(found, wanted);
  if (fact === undefined) return found;
  throw new UsageError(
    `gallery '${wanted.name}' was made with ${fact} ${found[fact]}, and is now opened with ${wanted[fact]}. ` +
      "A gallery's facts are fixed: use the old value, or a gallery with a new name.",
  );
}

function difference(a: Gallery, b: Gallery): keyof Gallery | undefined {
  return (["name", "partitions", "replicas", "modelId", "dimension", "lineMaps"] as const).find(
    (fact) => a[fact] !== b[fact],
  );
}

function problem({ name, partitions, replicas, modelId, dimension }: Gallery): string | undefined {
  const within = (n: number, max: number) => Number.isInteger(n) && n >= 1 && n <= max;
  if (!NAME_PATTERN.test(name)) return "its name must be 1 to 32 of a-z, 0-9 and -";
  if (!within(partitions, MAX_PARTITIONS)) return `partitions must be 1 to ${MAX_PARTITIONS}`;
  if (!within(replicas, MAX_REPLICAS)) return `replicas must be 1 to ${MAX_REPLICAS}`;
  if (modelId === "") return "it needs a model id";
  return within(dimension, 65_536) ? undefined : "dimension must be 1 to 65536";
}

function check(gallery: Gallery): void {
  const wrong = problem(gallery);
  if (wrong !== undefined) throw new UsageError(`gallery '${gallery.name}': ${wrong}.`);
}
