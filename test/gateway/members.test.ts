// The gateway's view of the members, on a real nats-server.
import { createHmac, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import type { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startViewThread } from "../../gateway/members/followed-view.js";
import { type MemberDirectory, openMembers } from "../../gateway/members/members.js";
import { consentChanged, eraseMember, newDataKey, sealInstrument } from "../../records/index.js";
import { enrolled } from "../../records/member-events.js";
import { edge } from "../../wire/codec.js";
import { fromHex, partitionOf, toHex } from "../../wire/partition.js";
import { keySubject, memberSubject, STREAMS } from "../../wire/subjects.js";
import { unwrappedKeyEvent } from "../records/support/forged.js";
import {
  CARD,
  enrolSomebody,
  eventually,
  GALLERY,
  openServices,
  PARTITIONS,
  recordDecision,
  type Services,
} from "./members.support.js";

let services: Services;
let members: MemberDirectory;

beforeAll(async () => {
  services = await openServices();
  members = await openMembers(services.deps);
});
afterAll(async () => {
  await members.close();
  await services.close();
});

const partition = (memberHex: string) => partitionOf(fromHex(memberHex), PARTITIONS);

async function erase(memberHex: string): Promise<void> {
  const outcome = await eraseMember(
    { nc: services.deps.nats, eventLog: services.deps.eventLog, log: services.deps.log },
    {
      gallery: GALLERY,
      partition: partition(memberHex),
      memberId: fromHex(memberHex),
      requestedBy: "operator",
      holders: 1,
    },
  );
  if (!outcome.ok) throw new Error(outcome.code);
}

/** A history that the view has shown whole. */
async function historyOf(memberHex: string, limit = 50, before?: string) {
  await members.historyCaughtUp(5000);
  return members.history(memberHex, { limit, ...(before ? { before } : {}) });
}

describe("the members view", () => {
  it("knows an enrolled member: place, consents and the opened instrument", async () => {
    const id = await enrolSomebody(services);
    const member = await members.seen(id, 5000);
    expect(member).toMatchObject({ id, gallery: GALLERY, partition: partition(id), instrument: CARD });
    expect([...(member?.consents ?? [])]).toEqual([edge.Purpose.ENTRY, edge.Purpose.PAY]);
    expect(members.get(id)).toBe(member);
  });

  it("gives a member another pseudonym at every site, made from the data key alone", async () => {
    const id = await enrolSomebody(services);
    const member = await members.seen(id, 5000);
    const north = member?.pairwiseId("north") ?? "";
    expect(north).toMatch(/^[a-z2-7]{16}$/);
    expect(member?.pairwiseId("south")).not.toBe(north);
    expect(member?.pairwiseId("north")).toBe(north);
    // The same again by another way: RFC 4648 base32 over the bits of the MAC.
    const key = await members.key(id);
    const mac = createHmac("sha256", key ?? "")
      .update("pairwise\0north")
      .digest()
      .subarray(0, 10);
    const bits = [...mac].map((byte) => byte.toString(2).padStart(8, "0")).join("");
    const letters = (bits.match(/.{5}/g) ?? []).map(
      (five) => "abcdefghijklmnopqrstuvwxyz234567"[parseInt(five, 2)],
    );
    expect(north).toBe(letters.join(""));
  });

  it("obeys a change of consents as soon as it is applied", async () => {
    const id = await enrolSomebody(services);
    await members.seen(id, 5000);
    const place = { memberId: fromHex(id), gallery: GALLERY, partition: partition(id) };
    const appended = await services.deps.eventLog.append(
      memberSubject(GALLERY, place.partition, id),
      consentChanged(place, [edge.Purpose.ENTRY]),
    );
    if (!appended.ok) throw new Error(appended.code);
    expect(await members.applied(appended.sequence, 5000)).toBe(true);
    expect([...(members.get(id)?.consents ?? [])]).toEqual([edge.Purpose.ENTRY]);
  });

  it("shows the history page by page, latest first, nothing twice and nothing left out", async () => {
    const id = await enrolSomebody(services);
    const other = await enrolSomebody(services);
    const start = 1_700_000_000_000;
    for (let use = 0; use < 7; use++) {
      await recordDecision(services, {
        memberHex: id,
        presentationId: randomBytes(16),
        atUnixMs: start + use,
      });
      await recordDecision(services, {
        memberHex: other,
        presentationId: randomBytes(16),
        atUnixMs: start + use,
      });
    }
    const times: number[] = [];
    let before: string | undefined;
    let pages = 0;
    do {
      const page = await historyOf(id, 3, before);
      times.push(...page.uses.map(({ atUnixMs }) => atUnixMs));
      before = page.before;
      pages++;
    } while (before !== undefined);
    expect(times).toEqual([6, 5, 4, 3, 2, 1, 0].map((use) => start + use));
    expect(pages).toBe(3);
  });

  it("forgets an erased member: nobody, no history, and a late decision brings nothing back", async () => {
    const id = await enrolSomebody(services);
    await members.seen(id, 5000);
    await recordDecision(services, { memberHex: id, presentationId: randomBytes(16) });
    expect((await historyOf(id)).uses).toHaveLength(1);
    await erase(id);
    const last = await services.deps.eventLog.last(
      STREAMS.members,
      memberSubject(GALLERY, partition(id), id),
    );
    expect(await members.applied(last?.sequence ?? 0, 5000)).toBe(true);
    expect(members.get(id)).toBeUndefined();
    expect(await members.key(id)).toBeUndefined();
    expect(members.place(id)).toMatchObject({ erased: true });
    await recordDecision(services, { memberHex: id, presentationId: randomBytes(16) });
    expect((await historyOf(id)).uses).toHaveLength(0);
  });

  it("is the same after a restart, and for a gateway that starts from nothing", async () => {
    const kept = await enrolSomebody(services);
    const erased = await enrolSomebody(services);
    await members.seen(kept, 5000);
    await recordDecision(services, { memberHex: kept, presentationId: randomBytes(16) });
    await recordDecision(services, { memberHex: erased, presentationId: randomBytes(16) });
    const history = await historyOf(kept);
    await erase(erased);
    const count = await services.deps.eventLog
      .last(STREAMS.members, "members.>")
      .then((last) => members.applied(last?.sequence ?? 0, 5000))
      .then(() => members.count());
    await members.close();
    members = await openMembers(services.deps);
    const fresh = await openMembers({ ...services.deps, dataDir: services.newDataDir() });
    for (const directory of [members, fresh]) {
      expect(await directory.seen(kept, 5000)).toMatchObject({ instrument: CARD });
      await directory.historyCaughtUp(5000);
      expect(directory.history(kept, { limit: 50 })).toEqual(history);
      expect(directory.get(erased)).toBeUndefined();
      expect(directory.history(erased, { limit: 50 }).uses).toHaveLength(0);
      expect(directory.count()).toBe(count);
    }
    await fresh.close();
  });
});

describe("the members view's thread", () => {
  it("is started again when it dies: not ready until then, and nothing of an erasure meanwhile is missed", async () => {
    const threads: Worker[] = [];
    const errors: unknown[] = [];
    const directory = await openMembers({
      ...services.deps,
      dataDir: services.newDataDir(),
      log: { ...services.deps.log, error: (fields: unknown) => errors.push(fields) },
      startThread: (settings) => {
        const thread = startViewThread(settings);
        threads.push(thread);
        return thread;
      },
    });
    const kept = await enrolSomebody(services);
    const erased = await enrolSomebody(services);
    for (const id of [kept, erased]) expect(await directory.seen(id, 5000)).toMatchObject({ id });
    await eventually(
      () => directory.ready(),
      (ready) => ready,
    );
    await threads[0]?.terminate();
    expect([directory.ready(), directory.decisionsLag()]).toEqual([false, Number.POSITIVE_INFINITY]);
    expect(errors).toHaveLength(1);
    // It reads on meanwhile.
    expect(directory.get(kept)).toMatchObject({ id: kept, instrument: CARD });
    await erase(erased);
    const later = await enrolSomebody(services);
    expect(await directory.seen(later, 10_000)).toMatchObject({ id: later });
    expect([directory.get(erased), directory.place(erased)?.erased]).toEqual([undefined, true]);
    await eventually(
      () => directory.ready(),
      (ready) => ready,
    );
    expect(threads).toHaveLength(2);
    await directory.close();
    expect(errors).toHaveLength(1);
  });

  it("fails the start when the view cannot be opened, and says why", async () => {
    const dataDir = services.newDataDir();
    writeFileSync(`${dataDir}/members-view`, "no directory");
    await expect(openMembers({ ...services.deps, dataDir })).rejects.toThrow("does not open");
  });

  it("ends with its directory, also while it waits for a log that is away", async () => {
    let ended = false;
    const directory = await openMembers({
      ...services.deps,
      dataDir: services.newDataDir(),
      natsUrl: "nats://127.0.0.1:9",
      startThread: (settings) =>
        startViewThread(settings).on("exit", () => {
          ended = true;
        }),
    });
    expect(directory.ready()).toBe(false);
    await directory.close();
    expect(ended).toBe(true);
  });
});

describe("a member that was forged by somebody without the master key", () => {
  it("is known to no gateway, and its data key in the clear is counted", async () => {
    const memberId = new Uint8Array(randomBytes(16));
    const id = toHex(memberId);
    const key = newDataKey();
    const place = { memberId, gallery: GALLERY, partition: partition(id) };
    const instrument = sealInstrument(key, memberId, GALLERY, CARD);
    await services.deps.eventLog.append(
      keySubject(GALLERY, place.partition, id),
      unwrappedKeyEvent(memberId, key),
    );
    const appended = await services.deps.eventLog.append(
      memberSubject(GALLERY, place.partition, id),
      enrolled(place, { templates: [], consents: [edge.Purpose.PAY], instrument }),
    );
    if (!appended.ok) throw new Error(appended.code);
    expect(await members.seen(id, 5000)).toBeUndefined();
    expect([members.get(id), await members.key(id)]).toEqual([undefined, undefined]);
    const text = await services.metrics.registry.getSingleMetricAsString("palmgate_data_keys_refused_total");
    expect(text).toMatch(/reason="unwrapped"} [1-9]/);
  });
});
