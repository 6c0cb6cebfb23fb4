// The directory's values by key, checked and typed: what a process knows of it, without how it came to know. Pure.
//
// Invariant: a value counts only when it fits the schema of its key and names what the key names.
import type { z } from "zod";
import {
  type Device,
  defaultPolicy,
  deviceSchema,
  directoryKey,
  type Fleet,
  fleetSchema,
  type Gallery,
  gallerySchema,
  type Organisation,
  organisationSchema,
  type Policy,
  policySchema,
  type ReceiptKey,
  receiptKeysSchema,
  type Site,
  siteSchema,
} from "./directory-values.js";

/** What can be read of a directory. */
export interface DirectoryView {
  fleet(): Fleet | undefined;
  organisations(): Organisation[];
  organisation(name: string): Organisation | undefined;
  galleries(organisation?: string): Gallery[];
  gallery(organisation: string, name: string): Gallery | undefined;
  sites(organisation?: string): Site[];
  site(organisation: string, name: string): Site | undefined;
  devices(organisation?: string): Device[];
  device(id: string): Device | undefined;
  /** The organisation's, or the defaults. */
  policy(organisation: string): Policy;
  /** Newest last. */
  receiptKeys(): ReceiptKey[];
}

export type Checked = { ok: true; value: unknown } | { ok: false; problem: string };

interface Kind<T> {
  schema: z.ZodType<T>;
  /** The key that such a value belongs under. */
  keyOf(value: T): string;
}

const KINDS = {
  fleet: { schema: fleetSchema, keyOf: () => directoryKey.fleet } satisfies Kind<Fleet>,
  organisation: {
    schema: organisationSchema,
    keyOf: ({ name }) => directoryKey.organisation(name),
  } satisfies Kind<Organisation>,
  gallery: {
    schema: gallerySchema,
    keyOf: ({ organisation, name }) => directoryKey.gallery(organisation, name),
  } satisfies Kind<Gallery>,
  site: {
    schema: siteSchema,
    keyOf: ({ organisation, name }) => directoryKey.site(organisation, name),
  } satisfies Kind<Site>,
  device: { schema: deviceSchema, keyOf: ({ id }) => directoryKey.device(id) } satisfies Kind<Device>,
  policy: {
    schema: policySchema,
    keyOf: ({ organisation }) => directoryKey.policy(organisation),
  } satisfies Kind<Policy>,
  "receipt-keys": {
    schema: receiptKeysSchema,
    keyOf: () => directoryKey.receiptKeys,
  } satisfies Kind<ReceiptKey[]>,
};

/** One kind of values, by key. */
class Shelf<T> {
  readonly #kind: Kind<T>;
  readonly #values = new Map<string, T>();

  constructor(kind: Kind<T>) {
    this.#kind = kind;
  }

  check(key: string, value: unknown): { ok: true; value: T } | { ok: false; problem: string } {
    const parsed = this.#kind.schema.safeParse(value);
    if (!parsed.success) {
      const problems = parsed.error.issues.map(
        ({ path, message }) => `${path.join(".") || "value"}: ${message}`,
      );
      return { ok: false, problem: problems.join("; ") };
    }
    return this.#kind.keyOf(parsed.data) === key
      ? { ok: true, value: parsed.data }
      : { ok: false, problem: "it names another thing than its key" };
  }

  take(key: string, value: unknown): Checked {
    const checked = this.check(key, value);
    if (checked.ok) this.#values.set(key, checked.value);
    return checked;
  }

  drop(key: string): void {
    this.#values.delete(key);
  }

  get(key: string): T | undefined {
    return this.#values.get(key);
  }

  /** By key. */
  list(belongs: (value: T) => boolean = () => true): T[] {
    return [...this.#values.keys()].sort().flatMap((key) => {
      const value = this.#values.get(key);
      return value !== undefined && belongs(value) ? [value] : [];
    });
  }
}

type KindName = keyof typeof KINDS;
const kindName = (key: string): KindName | undefined => {
  const [first = ""] = key.split(".", 1);
  return Object.hasOwn(KINDS, first) ? (first as KindName) : undefined;
};

const of = (organisation: string | undefined) => (value: { organisation: string }) =>
  organisation === undefined || value.organisation === organisation;

export class DirectoryTable implements DirectoryView {
  readonly #shelves = {
    fleet: new Shelf<Fleet>(KINDS.fleet),
    organisation: new Shelf<Organisation>(KINDS.organisation),
    gallery: new Shelf<Gallery>(KINDS.gallery),
    site: new Shelf<Site>(KINDS.site),
    device: new Shelf<Device>(KINDS.device),
    policy: new Shelf<Policy>(KINDS.policy),
    "receipt-keys": new Shelf<ReceiptKey[]>(KINDS["receipt-keys"]),
  };

  /** A table of these values, for a test or a plan. Throws for one that does not fit its key. */
  static of(values: Readonly<Record<string, unknown>>): DirectoryTable {
    const table = new DirectoryTable();
    for (const [key, value] of Object.entries(values)) {
      const checked = table.take(key, value);
      if (!checked.ok) throw new Error(`${key}: ${checked.problem}`);
    }
    return table;
  }

  /** Whether the value could stand under that key, and how it reads. */
  check(key: string, value: unknown): Checked {
    const kind = kindName(key);
    return kind === undefined
      ? { ok: false, problem: "the directory has no such key" }
      : this.#shelves[kind].check(key, value);
  }

  /** Takes the value when it fits; else everything stays as it is. */
  take(key: string, value: unknown): Checked {
    const kind = kindName(key);
    return kind === undefined ? this.check(key, value) : this.#shelves[kind].take(key, value);
  }

  drop(key: string): void {
    const kind = kindName(key);
    if (kind !== undefined) this.#shelves[kind].drop(key);
  }

  fleet = () => this.#shelves.fleet.get(directoryKey.fleet);
  organisations = () => this.#shelves.organisation.list();
  organisation = (name: string) => this.#shelves.organisation.get(directoryKey.organisation(name));
  galleries = (organisation?: string) => this.#shelves.gallery.list(of(organisation));
  gallery = (organisation: string, name: string) =>
    this.#shelves.gallery.get(directoryKey.gallery(organisation, name));
  sites = (organisation?: string) => this.#shelves.site.list(of(organisation));
  site = (organisation: string, name: string) =>
    this.#shelves.site.get(directoryKey.site(organisation, name));
  devices = (organisation?: string) => this.#shelves.device.list(of(organisation));
  device = (id: string) => this.#shelves.device.get(directoryKey.device(id));
  policy = (organisation: string) =>
    this.#shelves.policy.get(directoryKey.policy(organisation)) ?? defaultPolicy(organisation);
  receiptKeys = () => this.#shelves["receipt-keys"].get(directoryKey.receiptKeys) ?? [];
}
