import { generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { applyPlan, type Change, type DirectoryFile, parseDirectoryFile, planOf } from "../../wire/apply.js";
import { directoryKey, openDirectory } from "../../wire/directory.js";
import { DirectoryTable } from "../../wire/directory-table.js";
import { publicKeyToBase64 } from "../../wire/ed25519.js";
import { newOrganisationKey } from "../../wire/keyring.js";
import { type BusRig, log, openBusRig } from "./support/rig.js";

const publicKey = publicKeyToBase64(generateKeyPairSync("ed25519").privateKey);
const galleryFacts = { modelId: "palm-256-v3", dimension: 256, lineMaps: true };
const options = {
  galleryFacts,
  newKey: (organisation: string) => newOrganisationKey(new Uint8Array(32), organisation),
};

const device = (id: string, site = "main", gallery = "members") => ({
  id,
  publicKey,
  site,
  purpose: "ENTRY" as const,
  gallery,
});

function fileOf(content: unknown): DirectoryFile {
  const parsed = parseDirectoryFile(JSON.stringify(content));
  if (!parsed.ok) throw new Error(parsed.problems.join("\n"));
  return parsed.file;
}

const acme = {
  name: "acme",
  galleries: [{ name: "members" }],
  sites: [{ name: "main" }],
  devices: [device("lane-1")],
};

/** Carries a plan out on a table. */
function applied(table: DirectoryTable, changes: readonly Change[]): void {
  for (const { action, key, value } of changes) {
    if (action === "remove") table.drop(key);
    else expect(table.take(key, value)).toMatchObject({ ok: true });
  }
}

function planned(
  table: DirectoryTable,
  content: unknown,
  more: Partial<Parameters<typeof planOf>[2]> = {},
): Change[] {
  const plan = planOf(table, fileOf(content), { ...options, ...more });
  if (!plan.ok) throw new Error(plan.problems.join("\n"));
  return plan.changes;
}

describe("a directory file", () => {
  it.each([
    ["not JSON", "{", /not JSON/],
    ["no organisation", { organisations: [] }, /organisations/],
    ["a bad name", { organisations: [{ name: "No Dots." }] }, /organisations\.0\.name: must be 1 to 32/],
    [
      "a key that is none",
      { organisations: [{ ...acme, devices: [{ ...device("a"), publicKey: "x" }] }] },
      /raw Ed25519/,
    ],
    [
      "one device twice, in two organisations",
      { organisations: [acme, { ...acme, name: "b" }] },
      /'lane-1' is there twice/,
    ],
    [
      "a gallery twice",
      { organisations: [{ ...acme, galleries: [{ name: "members" }, { name: "members" }] }] },
      /twice/,
    ],
    [
      "an unknown site",
      { organisations: [{ ...acme, devices: [device("a", "nowhere")] }] },
      /devices\.0\.site: no site 'nowhere'/,
    ],
    ["an unknown field", { organisations: [{ ...acme, shards: 3 }] }, /shards/],
    ["too many rows", { fleet: { rows: 9, slots: 1 }, organisations: [acme] }, /fleet\.rows/],
  ])("is refused whole, each problem with its place: %s", (_what, content, problem) => {
    const text = typeof content === "string" ? content : JSON.stringify(content);
    const parsed = parseDirectoryFile(text);
    expect(parsed.ok ? "" : parsed.problems.join("\n")).toMatch(problem);
  });
});

describe("a plan", () => {
  it("makes all that the file names, in an order in which nothing points at what is not there", () => {
    const changes = planned(new DirectoryTable(), { fleet: { rows: 2, slots: 4 }, organisations: [acme] });
    expect(changes.map(({ action, what }) => `${action} ${what}`)).toEqual([
      "create the fleet: 2 rows of 4 slots",
      "create organisation acme",
      "create gallery members of acme (model palm-256-v3)",
      "create site main of acme",
      "create device lane-1 of acme (ENTRY at main)",
    ]);
    const table = new DirectoryTable();
    applied(table, changes);
    expect(table.fleet()).toEqual({ layout: 2, rows: 2, slots: 4 });
    expect(table.organisation("acme")?.keys).toHaveLength(1);
  });

  it("applied leaves nothing to plan, whatever the file and whatever was there before", () => {
    const name = fc.constantFrom("a", "b", "c");
    const organisation = fc.record({
      name,
      galleries: fc.uniqueArray(name, { minLength: 1 }).map((names) => names.map((each) => ({ name: each }))),
      sites: fc
        .uniqueArray(name, { minLength: 1 })
        .map((names) => names.map((each) => ({ name: each, unreported: each === "a" ? "capture" : "void" }))),
      policy: fc.option(fc.constantFrom({}, { ambiguityMargin: 0.05 }), { nil: undefined }),
      lanes: fc.uniqueArray(fc.nat(3)),
    });
    const file = fc
      .record({
        fleet: fc.option(fc.constantFrom({ rows: 1, slots: 2 }, { rows: 2, slots: 1 }), { nil: undefined }),
        organisations: fc.uniqueArray(organisation, { minLength: 1, selector: (each) => each.name }),
      })
      .map(({ fleet, organisations }) =>
        fileOf({
          fleet,
          organisations: organisations.map(({ lanes, ...each }) => ({
            ...each,
            devices: lanes.map((lane) => ({
              ...device(`${each.name}-${lane}`, each.sites[0]?.name, each.galleries[0]?.name),
              ...(each.policy ? {} : { purpose: "PAY" }),
            })),
          })),
        }),
      );
    fc.assert(
      fc.property(fc.array(file, { maxLength: 2 }), file, fc.boolean(), (before, last, prune) => {
        const table = new DirectoryTable();
        for (const each of [...before, last]) {
          const plan = planOf(table, each, { ...options, prune });
          if (!plan.ok) throw new Error(plan.problems.join());
          applied(table, plan.changes);
        }
        expect(planOf(table, last, { ...options, prune })).toEqual({ ok: true, changes: [] });
        if (prune)
          expect(table.organisations().map(({ name }) => name)).toEqual(
            last.organisations.map(({ name }) => name).sort(),
          );
      }),
      { numRuns: 40 },
    );
  });

  it("takes a device away that the file names no more, but not one that paired itself", () => {
    const table = new DirectoryTable();
    applied(table, planned(table, { organisations: [acme] }));
    table.take(directoryKey.device("paired"), {
      ...device("paired"),
      organisation: "acme",
      pairedAtUnixMs: 1,
    });
    const changes = planned(table, { organisations: [{ ...acme, devices: [] }] });
    expect(changes.map(({ action, key }) => [action, key])).toEqual([["remove", "device.lane-1"]]);
  });

  it("takes nothing else away unless it is asked to, and then devices before sites before organisations", () => {
    const table = new DirectoryTable();
    const other = { ...acme, name: "other", devices: [device("lane-2")], policy: { ambiguityMargin: 0.1 } };
    applied(table, planned(table, { organisations: [acme, other] }));
    const only = { organisations: [acme] };
    expect(planned(table, only)).toEqual([]);
    expect(planned(table, only, { prune: true }).map(({ key }) => key)).toEqual([
      "device.lane-2",
      "site.other.main",
      "gallery.other.members",
      "policy.other",
      "organisation.other",
    ]);
  });

  it("refuses what must not be: another model, members without a gallery, a foreign device, a site with a paired lane", () => {
    const table = new DirectoryTable();
    applied(table, planned(table, { organisations: [acme] }));
    table.take(directoryKey.device("paired"), {
      ...device("paired"),
      organisation: "acme",
      pairedAtUnixMs: 1,
    });
    const problems = (content: unknown, more: Partial<Parameters<typeof planOf>[2]>) => {
      const plan = planOf(table, fileOf(content), { ...options, ...more });
      return plan.ok ? "" : plan.problems.join("\n");
    };
    const otherModel = { galleryFacts: { ...galleryFacts, modelId: "palm-256-v4" } };
    expect(problems({ organisations: [acme] }, otherModel)).toMatch(/was made with model palm-256-v3/);
    const bare = { organisations: [{ name: "acme" }] };
    expect(problems(bare, { prune: true, hasMembers: () => true })).toMatch(/still has members/);
    expect(problems(bare, { prune: true })).toMatch(/still has a paired device/);
    const thief = { organisations: [{ ...acme, name: "thief" }] };
    expect(problems(thief, {})).toMatch(/belongs to another organisation/);
  });
});

describe("applying a plan", () => {
  let rig: BusRig;
  beforeAll(async () => {
    rig = await openBusRig();
  });
  afterAll(() => rig.close());

  it("brings the file into the directory, and stops where somebody else was faster", async () => {
    const directory = await openDirectory(rig.nc, log);
    rig.defer(() => directory.close());
    const file = fileOf({ organisations: [acme] });
    const plan = planOf(directory, file, options);
    if (!plan.ok) throw new Error(plan.problems.join());
    expect(await applyPlan(directory, plan.changes)).toEqual({ ok: true, changes: 5 });
    expect(planOf(directory, file, options)).toEqual({ ok: true, changes: [] });
    expect(directory.devices("acme").map(({ id }) => id)).toEqual(["lane-1"]);
    // The same plan once more, as by somebody who had planned at the same time.
    expect(await applyPlan(directory, plan.changes)).toMatchObject({ ok: false, code: "CONFLICT", done: 0 });
  });
});
