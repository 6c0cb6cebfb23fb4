// What the tests of the search share: two rows of two slots, so that every shard has a twin, and four people.
import { SearchClient, type SearchRequest } from "../../../identify/index.js";
import { ofVector } from "../../matcher/support/vectors.js";
import { GALLERY, ORGANISATION, openRig } from "./rig.js";
import type { Person, ScriptedWorker } from "./scripted-worker.js";

const SLOTS = 2;
export const DEADLINE_MS = 2000;

/** Their first byte is their shard: alice's is even, of slot 0, bob's and carl's odd, of slot 1. */
export const ALICE = `02${"aa".repeat(15)}`;
export const BOB = `03${"bb".repeat(15)}`;
export const CARL = `05${"cc".repeat(15)}`;
export const DORA_OF_ANOTHER = `07${"dd".repeat(15)}`;
export const person = (hex: string, vector: number[], organisation = ORGANISATION): Person => ({
  hex,
  organisation,
  gallery: GALLERY,
  vector: Float32Array.from(vector),
  facts: { profile: { consents: [1] } },
});
export const PEOPLE = [
  person(ALICE, [1, 0]),
  person(BOB, [0.6, 0.8]),
  person(CARL, [0, 1]),
  person(DORA_OF_ANOTHER, [1, 0], "other"),
];

export type Workers = [ScriptedWorker, ScriptedWorker, ScriptedWorker, ScriptedWorker];

export async function openSearches() {
  const rig = await openRig({ rows: 2, slots: SLOTS });
  const worker = (row: number, slot: number, threads = 1) =>
    rig.worker({ id: `w${row}${slot}`, row, slot, slots: SLOTS, threads }, PEOPLE);
  const searches = {
    rig,
    client: new SearchClient(rig.nats, rig.fleet, rig.keyring, { nowUnixMs: () => Date.now() }),
    /** A client of its own for a test. */
    renew: (secondAskMs: number) => {
      searches.client.close();
      const clock = { nowUnixMs: () => Date.now() };
      searches.client = new SearchClient(rig.nats, rig.fleet, rig.keyring, clock, { secondAskMs });
    },
    search: (more: Partial<SearchRequest> = {}) =>
      searches.client.search({
        organisation: ORGANISATION,
        gallery: GALLERY,
        modelId: "m",
        probe: ofVector(Float32Array.of(1, 0)),
        deadlineMs: DEADLINE_MS,
        ...more,
      }),
    worker,
    bothRows: async (): Promise<Workers> => [
      await worker(0, 0),
      await worker(0, 1),
      await worker(1, 0),
      await worker(1, 1),
    ],
    close: async () => {
      searches.client.close();
      await rig.close();
    },
  };
  return searches;
}

export type Searches = Awaited<ReturnType<typeof openSearches>>;
