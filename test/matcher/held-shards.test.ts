// Shards of a thread on a real log: what may not be trusted, what must be waited for, and what an erasure leaves.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { expect, it, onTestFinished } from "vitest";
import { HeldShards } from "../../matcher/held-shards.js";
import { MemberStore } from "../../matcher/member-store.js";
import { Members } from "../../matcher/members.js";
import { answerSearch } from "../../matcher/search-request.js";
import { TEMPLATE_CODE_WORDS } from "../../palm/codes/layout.js";
import { TEMPLATE_LINES_WORDS } from "../../palm/lines/frames.js";
import { type Signature, similarity, templateOf } from "../../palm/signature.js";
import { destroyMember, openEventLog, storeMember } from "../../records/index.js";
import { encodeBeat } from "../../wire/beat.js";
import { bus, encode } from "../../wire/codec.js";
import type { Gallery, Organisation } from "../../wire/directory.js";
import { toHex } from "../../wire/hex.js";
import { newOrganisationKey, openKeyring } from "../../wire/keyring.js";
import { openLog } from "../../wire/log.js";
import { LogClock, type OwnClocks } from "../../wire/log-clock.js";
import { connectNats } from "../../wire/nats.js";
import { startLocalNats } from "../../wire/nats-server.js";
import { newSealKey } from "../../wire/seal.js";
import { ShardSet } from "../../wire/shard.js";
import { BEAT_SUBJECT, STREAMS } from "../../wire/subjects.js";
import { startBeats } from "./support/beats.js";
import { bytesOf, randomProbe, seeded } from "./support/vectors.js";

const D = 4;
const SHARD = 9;
const log = openLog("test");
const gallery: Gallery = { organisation: "org", name: "g", modelId: "m", dimension: D, lineMaps: true };
const everywhere = ShardSet.all();

/** A log with beats, and a folder for the store of one thread. */
async function setUp() {
  const root = mkdtempSync(join(tmpdir(), "palmgate-shards-"));
  const nats = await startLocalNats(join(root, "nats"));
  const nc = await connectNats({ url: nats.url, name: "test", log });
  const masterKey = newSealKey();
  const organisations: Organisation[] = [{ name: "org", keys: [newOrganisationKey(masterKey, "org")] }];
  const eventLog = await openEventLog(nc);
  const keyring = openKeyring(
    masterKey,
    (name) => organisations.find((each) => each.name === name)?.keys ?? [],
  );
  const beats = startBeats(eventLog, keyring);
  onTestFinished(async () => {
    beats.stop();
    await nc.close();
    await nats.stop();
    rmSync(root, { recursive: true, force: true });
  });
  const skipped: string[] = [];
  const known = { organisations: [...organisations], galleries: [gallery] };
  const openShards = async (shards: number[] = [SHARD], own?: OwnClocks) => {
    const theirKeys = openKeyring(
      masterKey,
      (name) => known.organisations.find((each) => each.name === name)?.keys ?? [],
    );
    const store = new MemberStore({ path: join(root, "store"), mapSizeBytes: undefined });
    const members = new Members({
      ...{ store, engine: "codes", threads: 1, log },
      onSkipped: (reason) => skipped.push(reason),
    });
    const clock = LogClock.follow(nc, theirKeys, own);
    const held = new HeldShards({
      ...{
        identity: { workerId: "w", instance: "i", thread: 0 },
        members,
        eventLog,
        keyring: theirKeys,
        clock,
        log,
      },
      ...{ onApplied: () => {}, onKeyRefused: () => {}, onChanged: () => {} },
    });
    held.setGalleries(known.galleries);
    held.open(shards);
    const close = async () => {
      await held.stop();
      clock.stop();
      await store.close();
    };
    const served = () =>
      expect.poll(() => held.ready().hasAll(new ShardSet(shards)), { timeout: 15_000 }).toBe(true);
    return { held, members, store, close, served };
  };
  const enrol = async (signature: Signature, shard = SHARD) => {
    const memberId = Uint8Array.from([shard, ...randomBytes(15)]);
    const place = { organisation: "org", gallery: "g", memberId };
    const templates = [{ signature, modelId: "m", position: 1 }];
    const stored = await storeMember(eventLog, keyring, { ...place, templates, profile: { consents: [1] } });
    if (!stored.ok) throw new Error(stored.code);
    return { place, hex: toHex(memberId), sequence: stored.sequence };
  };
  return { root, nc, eventLog, keyring, beats, known, skipped, openShards, enrol, masterKey };
}

type Open = Awaited<ReturnType<Awaited<ReturnType<typeof setUp>>["openShards"]>>;
/** Both rounds in one. */
const found = ({ members }: Open, probe: Signature) => {
  const segment = members.segment("org", "g")?.templates;
  const handles = segment?.shortlist(probe, 64, everywhere).map(({ handle }) => handle) ?? [];
  const compared = segment?.compare(probe, handles, everywhere);
  return compared?.ok ? compared.candidates : [];
};

it("templates with line maps are found by them, after a restart too, until they are erased", async () => {
  const { eventLog, skipped, openShards, enrol } = await setUp();
  const random = seeded(31);
  const [probe, other] = [randomProbe(random, D), randomProbe(random, D)];
  const nearer = await enrol({ ...templateOf(probe), lines: templateOf(other).lines });
  const sameLines = await enrol({ ...templateOf(other), lines: templateOf(probe).lines });
  await enrol({ ...templateOf(probe), lines: new Uint32Array() });
  await enrol({ ...templateOf(probe), codes: probe.codes.slice(0, TEMPLATE_CODE_WORDS + 1) });
  await enrol({ ...templateOf(probe), lines: probe.lines.slice(0, TEMPLATE_LINES_WORDS + 1) });

  const open = await openShards();
  await open.served();
  const similarities = [similarity(probe, templateOf(probe)), similarity(probe, templateOf(other))];
  const answer = [sameLines.hex, nearer.hex].map((member, i) => ({
    member,
    similarity: similarities[i],
  }));
  expect(found(open, probe)).toEqual(answer);
  expect(skipped).toEqual(["unopened", "unopened", "unopened"]);
  await open.close();

  const again = await openShards();
  await again.served();
  expect(found(again, probe)).toEqual(answer);
  expect((await destroyMember(eventLog, sameLines.place, "operator")).ok).toBe(true);
  await expect.poll(() => again.held.holds(sameLines.hex)).toBe(false);
  expect(found(again, probe)).toEqual(answer.slice(1));
  expect(again.held.member("org", sameLines.hex)).toEqual({ status: "ERASED", gallery: "g" });
  await again.close();
});

it("a store that is ahead of its log is not opened", async () => {
  const { nc, eventLog, keyring, openShards, enrol, beats } = await setUp();
  const random = seeded(32);
  const last = [
    await enrol(templateOf(randomProbe(random, D))),
    await enrol(templateOf(randomProbe(random, D))),
  ][1];
  const open = await openShards();
  await expect.poll(() => open.held.appliedSequence(SHARD)).toBeGreaterThanOrEqual(last?.sequence ?? 0);
  await open.close();
  beats.stop();
  await (await jetstreamManager(nc)).streams.delete(STREAMS.members);
  await openEventLog(nc);
  await eventLog.append(
    BEAT_SUBJECT,
    encodeBeat(keyring, { atUnixMs: Date.now(), ledgerId: "l", headSequence: 0 }),
  );

  const again = await openShards();
  await eventLog.append(
    BEAT_SUBJECT,
    encodeBeat(keyring, { atUnixMs: Date.now(), ledgerId: "l", headSequence: 1 }),
  );
  expect(again.held.serving(everywhere)).toBe("NOT_READY");
  expect(again.held.appliedSequence(SHARD)).toBe(0);
  await again.close();
});

it("members of a gallery, or under a key, that the directory has not told of yet are waited for, and then found", async () => {
  const { known, openShards, enrol } = await setUp();
  const { organisations, galleries } = known;
  known.galleries = [];
  known.organisations = [];
  const open = await openShards();
  await open.served();
  const probe = randomProbe(seeded(33), D);
  const { hex, sequence } = await enrol(templateOf(probe));
  await expect.poll(() => open.store.row(hex)).toBeDefined();
  // Written, and not yet promised.
  expect(open.held.appliedSequence(SHARD)).toBeLessThan(sequence);
  known.organisations = organisations;
  open.held.setGalleries(galleries);
  await expect
    .poll(() => open.held.appliedSequence(SHARD), { timeout: 10_000 })
    .toBeGreaterThanOrEqual(sequence);
  expect(found(open, probe).map(({ member }) => member)).toEqual([hex]);
  await open.close();
});

it("a member that the directory explains too late is set aside, holds no other gallery up, and is entered when it does", async () => {
  const { known, openShards, enrol } = await setUp();
  const { organisations, galleries } = known;
  known.organisations = [];
  known.galleries = [...galleries, { ...gallery, name: "other" }];
  const open = await openShards();
  await open.served();
  const probe = randomProbe(seeded(34), D);
  const { hex, sequence } = await enrol(templateOf(probe));
  await expect
    .poll(() => open.held.appliedSequence(SHARD), { timeout: 20_000 })
    .toBeGreaterThanOrEqual(sequence);
  const search = (name: string) => {
    const head = { organisation: "org", gallery: name, modelId: "m", nearest: 5 };
    const numbers = { probe: bytesOf(probe.vector), codes: bytesOf(probe.codes) };
    const deadlineUnixMs = Date.now() + 60_000;
    return answerSearch(open.held, encode(bus.SearchRequest, { ...head, ...numbers, deadlineUnixMs }))
      ?.status;
  };
  await open.served();
  // Nobody's stranger: the shard is not answered for.
  expect([search("g"), search("other")]).toEqual(["NOT_READY", "SEARCHED"]);
  expect(open.held.isEntered(sequence)).toBe(false);
  known.organisations = organisations;
  open.held.setGalleries(known.galleries);
  await expect.poll(() => open.held.isEntered(sequence)).toBe(true);
  expect(search("g")).toBe("SEARCHED");
  expect(found(open, probe).map(({ member }) => member)).toEqual([hex]);
  await open.close();
});

it("an erasure leaves no row, no template and no key; a shard that is let go neither", async () => {
  const { eventLog, openShards, enrol } = await setUp();
  const random = seeded(35);
  const probes = [randomProbe(random, D), randomProbe(random, D), randomProbe(random, D)];
  const people = [
    await enrol(templateOf(probes[0] ?? randomProbe(random, D))),
    await enrol(templateOf(probes[1] ?? randomProbe(random, D))),
    await enrol(templateOf(probes[2] ?? randomProbe(random, D)), SHARD + 1),
  ];
  const open = await openShards([SHARD, SHARD + 1]);
  await open.served();
  const [gone, left, kept] = people;
  if (gone === undefined || left === undefined || kept === undefined) throw new Error("three people");
  const statusOf = ({ hex }: { hex: string }) => open.held.member("org", hex).status;
  expect(people.map(statusOf)).toEqual(["FOUND", "FOUND", "FOUND"]);

  await destroyMember(eventLog, gone.place, "operator");
  await expect.poll(() => statusOf(gone)).toBe("ERASED");
  expect(open.held.holds(gone.hex)).toBe(false);
  expect(open.members.templates).toBe(2);

  await open.held.close([SHARD]);
  expect(open.held.held.has(SHARD)).toBe(false);
  expect(open.members.templates).toBe(1);
  expect(people.map(statusOf)).toEqual(["UNKNOWN", "UNKNOWN", "FOUND"]);
  expect([...open.store.positions().keys()]).toEqual([SHARD + 1]);
  await expect.poll(() => open.held.ready().has(SHARD + 1), { timeout: 10_000 }).toBe(true);
  // Taken again it is read anew, from the start.
  open.held.open([SHARD]);
  await expect.poll(() => statusOf(left), { timeout: 15_000 }).toBe("FOUND");
  expect(statusOf(gone)).toBe("ERASED");
  expect(found(open, probes[1] ?? randomProbe(random, D)).some(({ member }) => member === left.hex)).toBe(
    true,
  );
  await open.close();
});

it("a beat that nobody of the fleet has signed makes nobody current", async () => {
  const { eventLog, beats, openShards, masterKey } = await setUp();
  beats.stop();
  expect(masterKey).toHaveLength(32);
  const open = await openShards();
  const forger = openKeyring(newSealKey(), () => []);
  const sequence = await eventLog.append(
    BEAT_SUBJECT,
    encodeBeat(forger, { atUnixMs: Date.now(), ledgerId: "forger", headSequence: 0 }),
  );
  await expect
    .poll(() => open.held.appliedSequence(SHARD))
    .toBeGreaterThanOrEqual(sequence.ok ? sequence.sequence : 0);
  expect(open.held.serving(everywhere)).toBe("NOT_CURRENT");
  await open.close();
});

it("on a machine that slept, whose clock stood still, nobody is current from the lost link to the next beat", async () => {
  const { nc, eventLog, keyring, beats, openShards } = await setUp();
  let monotonicMs = () => performance.now();
  const open = await openShards([SHARD], { wallUnixMs: () => Date.now(), monotonicMs: () => monotonicMs() });
  await open.served();
  beats.stop();
  const asleepAtMs = performance.now();
  monotonicMs = () => asleepAtMs;
  expect(open.held.ready().has(SHARD)).toBe(true);
  await nc.reconnect();
  await expect.poll(() => open.held.serving(everywhere)).toBe("NOT_CURRENT");
  const beat = encodeBeat(keyring, { atUnixMs: Date.now() + 60_000, ledgerId: "l", headSequence: 0 });
  await eventLog.append(BEAT_SUBJECT, beat);
  await open.served();
  await open.close();
});
