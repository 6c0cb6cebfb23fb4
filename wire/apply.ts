// From a declarative file to the directory: what has to change, told before it is done.
//
// Invariants:
// - a plan applied leaves nothing to plan: applying twice changes nothing;
// - a gallery's model, dimension and line maps never change: its members live by them;
// - a device that the file names no more goes at once (it is nobody), but for one that paired itself; anything else goes
//   only when asked to (`prune`), and a gallery that has members, or where a paired device stands, never does, nor a site
//   or an organisation with work that is under way: money is settled by a site's rule, a receipt is owed;
// - of two people who change one thing at once, the later one is told, and stops there.
import { z } from "zod";
import { type Directory, type DirectoryView, directoryKey, type Gallery, type Written } from "./directory.js";
import {
  type Device,
  defaultPolicy,
  deviceIdSchema,
  fleetSchema,
  nameSchema,
  policyShape,
  publicKeySchema,
  purposeSchema,
  siteRuleShape,
} from "./directory-values.js";
import type { OrganisationKey } from "./keyring.js";
import { LAYOUT } from "./limits.js";

const organisationFile = z.strictObject({
  name: nameSchema,
  galleries: z.array(z.strictObject({ name: nameSchema })).default([]),
  sites: z.array(z.strictObject({ name: nameSchema, ...siteRuleShape })).default([]),
  devices: z
    .array(
      z.strictObject({
        id: deviceIdSchema,
        publicKey: publicKeySchema,
        site: nameSchema,
        purpose: purposeSchema,
        gallery: nameSchema,
      }),
    )
    .default([]),
  policy: z.strictObject(policyShape).optional(),
});

const fileSchema = z
  .strictObject({
    fleet: fleetSchema.omit({ layout: true }).optional(),
    organisations: z.array(organisationFile).min(1),
  })
  .superRefine((file, context) => {
    const say = (message: string, ...path: (string | number)[]) =>
      context.addIssue({ code: "custom", message, path });
    const unique = (names: readonly string[], sayTwice: (name: string) => void) => {
      for (const name of new Set(names.filter((each, at) => names.indexOf(each) !== at))) sayTwice(name);
    };
    unique(
      file.organisations.map(({ name }) => name),
      (name) => say(`organisation '${name}' is there twice`, "organisations"),
    );
    unique(
      file.organisations.flatMap(({ devices }) => devices.map(({ id }) => id)),
      (id) => say(`device '${id}' is there twice`, "organisations"),
    );
    for (const [at, { galleries, sites, devices }] of file.organisations.entries()) {
      const names = { gallery: galleries.map(({ name }) => name), site: sites.map(({ name }) => name) };
      for (const what of ["gallery", "site"] as const) {
        unique(names[what], (name) => say(`${what} '${name}' is there twice`, "organisations", at));
        for (const [index, device] of devices.entries()) {
          if (names[what].includes(device[what])) continue;
          say(`no ${what} '${device[what]}'`, "organisations", at, "devices", index, what);
        }
      }
    }
  });

export type DirectoryFile = z.output<typeof fileSchema>;
export type DirectoryFileResult = { ok: true; file: DirectoryFile } | { ok: false; problems: string[] };

/** Checks the text of a file; every problem is named with its place. Never throws. */
export function parseDirectoryFile(text: string): DirectoryFileResult {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    return { ok: false, problems: [`not JSON: ${error instanceof Error ? error.message : error}`] };
  }
  const parsed = fileSchema.safeParse(content);
  if (parsed.success) return { ok: true, file: parsed.data };
  return {
    ok: false,
    problems: parsed.error.issues.map(({ path, message }) => `${path.join(".") || "file"}: ${message}`),
  };
}

export interface Change {
  action: "create" | "change" | "remove";
  /** In the directory. */
  key: string;
  /** What is to stand there; none for "remove". */
  value?: unknown;
  /** One line for people. */
  what: string;
}

export type Plan = { ok: true; changes: Change[] } | { ok: false; problems: string[] };

export interface PlanOptions {
  /** Of galleries that are made: from the model file. */
  galleryFacts: Pick<Gallery, "modelId" | "dimension" | "lineMaps">;
  /** The first key of an organisation that is made. */
  newKey(organisation: string): OrganisationKey;
  /** Remove what the file does not name any more. */
  prune?: boolean;
  /** Asked before a gallery is removed. */
  hasMembers?(organisation: string, gallery: string): boolean;
  /** What is under way there, in words, e.g. "open payments". Asked before a site or a whole organisation is removed. */
  unfinished?(organisation: string, site: string | undefined): string | undefined;
}

/** What has to change so that the directory says what the file says. Pure, but for the keys that newKey makes. */
export function planOf(directory: DirectoryView, file: DirectoryFile, options: PlanOptions): Plan {
  const plan = new Planner(directory, options);
  plan.fleet(file.fleet);
  for (const organisation of file.organisations) plan.organisation(organisation);
  const named = new Set(file.organisations.map(({ name }) => name));
  if (options.prune === true) {
    for (const { name } of directory.organisations()) if (!named.has(name)) plan.removeOrganisation(name);
  }
  return plan.end();
}

const STILL_PAIRED = "still has a paired device: revoke it first.";

class Planner {
  readonly #directory: DirectoryView;
  readonly #options: PlanOptions;
  readonly #changes: Change[] = [];
  /** Carried out last, so that nothing ever points at what is gone. */
  readonly #removals: Change[] = [];
  readonly #problems: string[] = [];

  constructor(directory: DirectoryView, options: PlanOptions) {
    this.#directory = directory;
    this.#options = options;
  }

  end(): Plan {
    if (this.#problems.length > 0) return { ok: false, problems: this.#problems };
    return { ok: true, changes: [...this.#changes, ...this.#removals] };
  }

  fleet(wanted: DirectoryFile["fleet"]): void {
    const found = this.#directory.fleet();
    const { rows, slots } = wanted ?? found ?? { rows: 1, slots: 1 };
    const what = `the fleet: ${rows} ${rows === 1 ? "row" : "rows"} of ${slots} ${slots === 1 ? "slot" : "slots"}`;
    this.#put(directoryKey.fleet, found, { layout: LAYOUT, rows, slots }, what);
  }

  organisation({ name, galleries, sites, devices, policy }: DirectoryFile["organisations"][number]): void {
    if (this.#directory.organisation(name) === undefined) {
      const keys = [this.#options.newKey(name)];
      this.#put(directoryKey.organisation(name), undefined, { name, keys }, `organisation ${name}`);
    }
    for (const gallery of galleries) this.#gallery(name, gallery.name);
    for (const site of sites) {
      const found = this.#directory.site(name, site.name);
      const key = directoryKey.site(name, site.name);
      this.#put(key, found, { organisation: name, ...site }, `site ${site.name} of ${name}`);
    }
    if (policy !== undefined) {
      const value = { organisation: name, ...policy };
      // What says the defaults need not stand there.
      this.#put(directoryKey.policy(name), this.#directory.policy(name), value, `policy of ${name}`);
    }
    for (const device of devices) this.#device({ organisation: name, ...device });
    this.#removeUnnamed(name, {
      galleries: new Set(galleries.map((each) => each.name)),
      sites: new Set(sites.map((each) => each.name)),
      devices: new Set(devices.map((each) => each.id)),
    });
  }

  removeOrganisation(name: string): void {
    if (this.#isUnfinished(`organisation ${name}`, name, undefined)) return;
    this.#removeUnnamed(name, { galleries: new Set(), sites: new Set(), devices: new Set() }, true);
    if (!sameValue(this.#directory.policy(name), defaultPolicy(name))) {
      this.#remove(directoryKey.policy(name), `policy of ${name}`);
    }
    this.#remove(directoryKey.organisation(name), `organisation ${name}`);
  }

  #gallery(organisation: string, name: string): void {
    const found = this.#directory.gallery(organisation, name);
    const wanted = { organisation, name, ...this.#options.galleryFacts };
    if (found === undefined) {
      const what = `gallery ${name} of ${organisation} (model ${wanted.modelId})`;
      this.#put(directoryKey.gallery(organisation, name), undefined, wanted, what);
    } else if (!sameValue(found, wanted)) {
      this.#problems.push(
        `gallery ${name} of ${organisation} was made with model ${found.modelId}, and this is ${wanted.modelId}. ` +
          "A gallery's model never changes: use the old model, or a gallery with a new name.",
      );
    }
  }

  #device(device: Device): void {
    const { id, organisation } = device;
    const found = this.#directory.device(id);
    if (found !== undefined && found.organisation !== organisation) {
      this.#problems.push(
        `device ${id} belongs to another organisation: names of devices are unique in the fleet.`,
      );
      return;
    }
    const what = `device ${id} of ${organisation} (${device.purpose} at ${device.site})`;
    this.#put(directoryKey.device(id), found, device, what);
  }

  #removeUnnamed(
    organisation: string,
    named: Record<"galleries" | "sites" | "devices", ReadonlySet<string>>,
    withPaired = false,
  ): void {
    const paired: Device[] = [];
    for (const device of this.#directory.devices(organisation)) {
      if (named.devices.has(device.id)) continue;
      if (device.pairedAtUnixMs !== undefined && !withPaired) paired.push(device);
      else this.#remove(directoryKey.device(device.id), `device ${device.id} of ${organisation}`);
    }
    if (this.#options.prune !== true) return;
    for (const { name } of this.#directory.sites(organisation)) {
      if (named.sites.has(name)) continue;
      const where = `site ${name} of ${organisation}`;
      if (paired.some(({ site }) => site === name)) this.#problems.push(`${where} ${STILL_PAIRED}`);
      else if (!this.#isUnfinished(where, organisation, name))
        this.#remove(directoryKey.site(organisation, name), where);
    }
    for (const { name } of this.#directory.galleries(organisation)) {
      if (named.galleries.has(name)) continue;
      const which = `gallery ${name} of ${organisation}`;
      if (this.#options.hasMembers?.(organisation, name) === true)
        this.#problems.push(`${which} still has members: erase them first.`);
      else if (paired.some(({ gallery }) => gallery === name))
        this.#problems.push(`${which} ${STILL_PAIRED}`);
      else this.#remove(directoryKey.gallery(organisation, name), which);
    }
  }

  #isUnfinished(what: string, organisation: string, site: string | undefined): boolean {
    const work = this.#options.unfinished?.(organisation, site);
    if (work !== undefined) this.#problems.push(`${what} still has ${work}: wait until they have ended.`);
    return work !== undefined;
  }

  #remove(key: string, what: string): void {
    this.#removals.push({ action: "remove", key, what });
  }

  #put(key: string, found: unknown, value: unknown, what: string): void {
    if (found === undefined) this.#changes.push({ action: "create", key, value, what });
    else if (!sameValue(found, value)) this.#changes.push({ action: "change", key, value, what });
  }
}

export type AppliedPlan =
  | { ok: true; changes: number }
  /** Stopped at this change; those before it are done. Plan anew. */
  | { ok: false; code: Extract<Written, { ok: false }>["code"]; at: Change; done: number };

/** Carries the changes out, in their order. */
export async function applyPlan(
  directory: Pick<Directory, "put" | "create" | "remove">,
  changes: readonly Change[],
): Promise<AppliedPlan> {
  for (const [done, change] of changes.entries()) {
    const { action, key, value } = change;
    const written = await {
      create: () => directory.create(key, value),
      change: () => directory.put(key, value),
      remove: () => directory.remove(key),
    }[action]();
    if (!written.ok) return { ok: false, code: written.code, at: change, done };
  }
  return { ok: true, changes: changes.length };
}

/** Whether two values of JSON are the same, in whatever order their fields stand. */
function sameValue(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
  const left = Object.entries(a).filter(([, value]) => value !== undefined);
  const right = new Map(Object.entries(b).filter(([, value]) => value !== undefined));
  return (
    left.length === right.size &&
    left.every(([field, value]) => right.has(field) && sameValue(value, right.get(field)))
  );
}
