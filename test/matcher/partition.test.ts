// One partition on a real log: when a view may not be trusted, and what becomes of line maps.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { expect, it, onTestFinished } from "vitest";
import { Partition } from "../../matcher/partition.js";
import { TEMPLATE_CODE_WORDS } from "../../palm/codes/layout.js";
import { TEMPLATE_LINES_WORDS } from "../../palm/lines/frames.js";
import { type Signature, similarity, templateOf } from "../../palm/signature.js";
import { enrolMember, erased, newDataKey, openEventLog } from "../../records/index.js";
import type { Gallery } from "../../wire/galleries.js";
import { openLog } from "../../wire/log.js";
import { connectNats } from "../../wire/nats.js";
import { startLocalNats } from "../../wire/nats-server.js";
import { toHex } from "../../wire/partition.js";
import { memberSubject } from "../../wire/subjects.js";
import { randomProbe, seeded } from "./support/vectors.js";

const DIMENSION = 4;
const log = openLog("test");

/** A log, and a directory for the view of the one partition of a gallery. */
async function setUp(lineMaps: boolean) {
  const root = mkdtempSync(join(tmpdir(), "palmgate-partition-"));
  const nats = await startLocalNats(join(root, "nats"));
  const nc = await connectNats({ url: nats.url, name: "test", log });
  onTestFinished(async () => {
    await nc.close();
    await nats.stop();
    rmSync(root, { recursive: true, force: true });
  });
  const dir = join(root, "view");
  const masterKey = newDataKey();
  const gallery: Gallery = {
    name: "g",
    partitions: 1,
    replicas: 1,
    modelId: "m",
    dimension: DIMENSION,
    lineMaps,
  };
  const skipped: string[] = [];
  const openPartition = async () => {
    let tell = () => {};
    const caughtUp = new Promise<void>((resolve) => {
      tell = resolve;
    });
    const partition = await Partition.open({
      gallery,
      partition: 0,
      engine: "exact",
      dir,
      mapSizeBytes: undefined,
      masterKey,
      eventLog: await openEventLog(nc),
      log,
      onSkipped: (reason) => skipped.push(reason),
      onChanged: () => tell(),
    });
    await caughtUp;
    return partition;
  };
  return { nc, dir, masterKey, skipped, openPartition };
}

it("a view that is ahead of its log is refused, and made anew when an operator removes it", async () => {
  const { nc, dir, openPartition } = await setUp(false);
  const append = async (count: number) => {
    const eventLog = await openEventLog(nc);
    for (let i = 0; i < count; i++) await eventLog.append("members.g.0.x", Uint8Array.of(i));
  };
  const applied = async (partition: Partition, sequence: number) => {
    await expect.poll(() => partition.appliedSequence).toBe(sequence);
    await partition.close();
  };

  await append(3);
  await applied(await openPartition(), 3);
  await applied(await openPartition(), 3);
  await (await jetstreamManager(nc)).streams.delete("MEMBERS");
  await append(1);
  await expect(openPartition()).rejects.toThrow(/has applied event 3, but the log ends at 1/);
  rmSync(dir, { recursive: true });
  await applied(await openPartition(), 1);
});

it("templates with line maps are found by them, after a restart too, until they are erased", async () => {
  const { nc, masterKey, skipped, openPartition } = await setUp(true);
  const eventLog = await openEventLog(nc);
  const enrol = async (signature: Signature) => {
    const place = { gallery: "g", partition: 0, memberId: Uint8Array.from(randomBytes(16)) };
    // Nobody confirms: that is what asks a worker, and here is none.
    const outcome = await enrolMember(
      { nc, eventLog, log, masterKey, appliedWaitMs: 1 },
      { ...place, templates: [{ signature, modelId: "m", position: 1 }], consents: [1] },
    );
    expect(outcome).toMatchObject({ ok: false, code: "NOT_YET_DURABLE" });
    return { place, hex: toHex(place.memberId) };
  };
  const random = seeded(31);
  const [probe, other] = [randomProbe(random, DIMENSION), randomProbe(random, DIMENSION)];
  const nearVector = await enrol({
    vector: probe.vector,
    lines: templateOf(other).lines,
    codes: templateOf(probe).codes,
  });
  const sameLines = await enrol({ ...templateOf(other), lines: templateOf(probe).lines });
  await enrol({ ...templateOf(probe), lines: new Uint32Array() });
  await enrol({ ...templateOf(probe), codes: probe.codes.slice(0, TEMPLATE_CODE_WORDS + 1) });
  await enrol({ ...templateOf(probe), lines: probe.lines.slice(0, TEMPLATE_LINES_WORDS + 1) });

  const partition = await openPartition();
  const similarities = [similarity(probe, templateOf(probe)), similarity(probe, templateOf(other))];
  const answer = [sameLines.hex, nearVector.hex].map((member, i) => ({
    member,
    similarity: similarities[i],
  }));
  await expect.poll(() => partition.members).toBe(2);
  expect(partition.search(probe, 5)).toEqual(answer);
  await expect.poll(() => skipped).toEqual(["unopened", "unopened", "unopened"]);
  await partition.close();

  const again = await openPartition();
  expect(again.search(probe, 5)).toEqual(answer);
  const body = { requestedBy: "operator", keySequences: [], memberSequences: [] };
  await eventLog.append(memberSubject("g", 0, sameLines.hex), erased(sameLines.place, body));
  await expect.poll(() => again.members).toBe(1);
  expect(again.search(probe, 5)).toEqual(answer.slice(1));
  await again.close();
});
