// Real matchers, two rows of one slot. One is stopped (SIGSTOP): its link stays up, its heartbeats run out, and every
// search goes on being whole.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Child, startChild } from "../../cli/stack/child.js";
import { SearchClient } from "../../identify/index.js";
import { openEventLog } from "../../records/index.js";
import { encodeBeat } from "../../wire/beat.js";
import { directoryKey } from "../../wire/directory.js";
import { toHex } from "../../wire/hex.js";
import { BEAT_SUBJECT } from "../../wire/subjects.js";
import { ofVector } from "../matcher/support/vectors.js";
import { GALLERY, ORGANISATION, openRig, type Rig } from "./support/rig.js";

const MODEL = "test-8-v1";
const BEAT_MS = 500;
const PAUSED_MS = 4000;
const BETWEEN_SEARCHES_MS = 40;

let rig: Rig;
let dir: string;
let client: SearchClient;
let beats: NodeJS.Timeout;
const matchers: Child[] = [];
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "palmgate-paused-"));
  rig = await openRig({ rows: 2, slots: 1 });
  await rig.directory.create(directoryKey.gallery(ORGANISATION, GALLERY), {
    organisation: ORGANISATION,
    name: GALLERY,
    modelId: MODEL,
    dimension: 8,
    lineMaps: false,
  });
  const eventLog = await openEventLog(rig.nats);
  const beat = () =>
    void eventLog.append(
      BEAT_SUBJECT,
      encodeBeat(rig.keyring, { atUnixMs: Date.now(), ledgerId: "test", headSequence: 0 }),
    );
  beat();
  beats = setInterval(beat, BEAT_MS);
  for (const name of ["m1", "m2"]) {
    matchers.push(
      await startChild({
        name,
        args: [
          "matcher",
          "--worker-id",
          name,
          "--ops-port",
          "0",
          "--data-dir",
          join(dir, name),
          "--threads",
          "1",
        ],
        env: { PALMGATE_NATS_URL: rig.server.url, PALMGATE_MASTER_KEY: toHex(rig.masterKey) },
        logFile: join(dir, `${name}.log`),
      }),
    );
  }
  await rig.until((fleet) => fleet.ready().expected > 0 && fleet.ready().missingReplicas === 0);
  client = new SearchClient(rig.nats, rig.fleet, rig.keyring, { nowUnixMs: () => Date.now() });
}, 120_000);
afterAll(async () => {
  clearInterval(beats);
  client?.close();
  for (const each of matchers) await each.stop();
  await rig?.close();
  rmSync(dir, { recursive: true, force: true });
});

const search = () =>
  client.search({
    organisation: ORGANISATION,
    gallery: GALLERY,
    modelId: MODEL,
    probe: ofVector(Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0)),
    deadlineMs: 900,
  });

it("a paused matcher costs no search its answer", { timeout: 60_000 }, async () => {
  expect(await search()).toMatchObject({ complete: true, candidates: [] });
  const [paused] = matchers;
  if (paused === undefined) throw new Error("no matcher");
  process.kill(paused.pid, "SIGSTOP");
  const results: Promise<{ complete: boolean; missing: number }>[] = [];
  const endsAtMs = performance.now() + PAUSED_MS;
  while (performance.now() < endsAtMs) {
    results.push(search());
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_SEARCHES_MS));
  }
  const incomplete = (await Promise.all(results)).filter(({ complete }) => !complete);
  process.kill(paused.pid, "SIGCONT");
  expect(results.length).toBeGreaterThan(20);
  expect(incomplete).toEqual([]);
  await rig.until((fleet) => fleet.ready().missingReplicas === 0);
  for (let n = 0; n < 10; n++) expect(await search()).toMatchObject({ complete: true });
});
