// The whole fleet as this desk hears of it: gateways, matchers, ledgers, lanes. Hints, good for people and for readiness;
// nothing is decided by them.
import { z } from "zod";
import type { Fleet } from "../../identify/fleet.js";
import type { DirectoryView } from "../../wire/directory.js";
import type { GatewayState } from "../../wire/gateways.js";
import type { LaneBook } from "../../wire/lane-book.js";
import type { LedgerState } from "../../wire/ledgers.js";
import type { LogClock } from "../../wire/log-clock.js";
import { ShardSet } from "../../wire/shard.js";
import { PURPOSES } from "../enrolment/order.js";

const sagas = z.object({ open: z.int(), oldestMs: z.number() });
const gateway = z.object({
  id: z.string(),
  transport: z.string(),
  lanes: z.int(),
  presentations: z.int(),
  notReady: z.array(z.string()),
});
const matcher = z.object({
  id: z.string(),
  row: z.int().nullable(),
  slot: z.int().nullable(),
  threads: z.int(),
  shardsReady: z.int(),
  members: z.int(),
  templates: z.int(),
  beatAgeMs: z.number(),
  storeFull: z.boolean(),
});
const ledger = z.object({
  id: z.string(),
  leads: z.boolean(),
  sagas: z.object({ enrol: sagas, erase: sagas, refund: sagas }),
  payments: z.object({ open: z.int(), oldestMs: z.number() }),
  pending: z.array(
    z.object({
      kind: z.string(),
      organisation: z.string(),
      id: z.string(),
      tries: z.int(),
      detail: z.string(),
    }),
  ),
  notReady: z.array(z.string()),
});
const lane = z.object({
  deviceId: z.string(),
  organisation: z.string(),
  site: z.string(),
  purpose: z.enum(PURPOSES),
  gallery: z.string(),
  connected: z.boolean(),
  gateway: z.string().nullable(),
});

export const statusSchema = z
  .object({
    modelId: z.string(),
    fleet: z.object({
      rows: z.int(),
      slots: z.int(),
      shards: z.int(),
      shardsServed: z.int(),
      missingReplicas: z
        .int()
        .meta({ description: "Copies of shards that rows should have and nobody answers for" }),
      members: z.int().meta({ description: "As the row that has most of them counts" }),
    }),
    log: z.object({
      beatAgeMs: z
        .number()
        .nullable()
        .meta({ description: "Since the ledgers' last beat; null: none was heard" }),
      leader: z.string().nullable(),
    }),
    organisations: z.array(
      z.object({ name: z.string(), galleries: z.array(z.string()), sites: z.array(z.string()) }),
    ),
    gateways: z.array(gateway),
    matchers: z.array(matcher),
    ledgers: z.array(ledger),
    lanes: z.array(lane),
    notReady: z
      .array(z.string())
      .meta({ description: "Empty when everything is well; else what is missing" }),
  })
  .meta({ id: "Status" });

export type Status = z.output<typeof statusSchema>;

export interface StatusSources {
  modelId: string;
  directory: DirectoryView & { current(): boolean };
  fleet: Pick<Fleet, "ready" | "workers">;
  lanes: Pick<LaneBook, "get">;
  clock: Pick<LogClock, "beatAgeMs" | "leader">;
  gateways(): readonly GatewayState[];
  ledgers(): readonly LedgerState[];
  linkUp(): boolean;
}

/** @param organisation only its lanes and galleries; left out: everybody's */
export function statusOf(sources: StatusSources, organisation?: string): Status {
  const { modelId, directory, fleet, clock, gateways, ledgers } = sources;
  const { rows = 0, slots = 0 } = directory.fleet() ?? {};
  const { expected, served, missingReplicas } = fleet.ready();
  const beatAgeMs = clock.beatAgeMs();
  return {
    modelId,
    fleet: {
      rows,
      slots,
      shards: expected,
      shardsServed: served,
      missingReplicas,
      members: membersOf(fleet),
    },
    log: {
      beatAgeMs: Number.isFinite(beatAgeMs) ? Math.round(beatAgeMs) : null,
      leader: clock.leader() ?? null,
    },
    organisations: directory
      .organisations()
      .filter(({ name }) => organisation === undefined || name === organisation)
      .map(({ name }) => ({
        name,
        galleries: directory.galleries(name).map((each) => each.name),
        sites: directory.sites(name).map((each) => each.name),
      })),
    gateways: gateways().map(({ id, transport, lanes, presentations, notReady: missing }) => ({
      id,
      transport,
      lanes,
      presentations,
      notReady: missing,
    })),
    matchers: fleet.workers().map((state) => ({
      id: state.workerId,
      row: state.hasSlot ? state.row : null,
      slot: state.hasSlot ? state.slot : null,
      threads: state.threads,
      shardsReady: ShardSet.from(state.shardsReady)?.size ?? 0,
      members: state.members,
      templates: state.templates,
      beatAgeMs: state.beatAgeMs,
      storeFull: state.storeFull,
    })),
    ledgers: ledgers().map(({ instance: _, ...told }) => told),
    lanes: lanesOf(sources, organisation),
    notReady: notReady(sources),
  };
}

/** Every row has every member once. */
function membersOf(fleet: Pick<Fleet, "workers">): number {
  const byRow = new Map<number, number>();
  for (const { hasSlot, row, members } of fleet.workers()) {
    if (hasSlot) byRow.set(row, (byRow.get(row) ?? 0) + members);
  }
  return Math.max(0, ...byRow.values());
}

const lanesOf = ({ directory, lanes }: StatusSources, organisation: string | undefined): Status["lanes"] =>
  directory.devices(organisation).map((device) => {
    const entry = lanes.get(device.id);
    return {
      deviceId: device.id,
      organisation: device.organisation,
      site: device.site,
      purpose: device.purpose,
      gallery: device.gallery,
      connected: entry !== undefined,
      gateway: entry?.gateway ?? null,
    };
  });

/** What keeps the fleet from serving, as far as this desk can tell; one line each. */
export function notReady({ directory, fleet, gateways, ledgers, linkUp }: StatusSources): string[] {
  const { expected, served } = fleet.ready();
  const line = (isMissing: boolean, words: string) => (isMissing ? [words] : []);
  return [
    ...line(!linkUp(), "nats-server is not reached"),
    ...line(!directory.current(), "the directory is catching up"),
    ...line(expected === 0, "there is no fleet yet: run 'palmgate apply'"),
    ...line(served < expected, `${served} of ${expected} shards are served by a matcher`),
    ...line(gateways().length === 0, "no gateway is heard of"),
    ...line(ledgers().length === 0, "no ledger is heard of"),
  ];
}
