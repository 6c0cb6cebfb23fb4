// The promise of erasure, looked at from below: what lies in nats-server's files. Before each erasure the bytes are
// found there: under the server's own at-rest encryption they would not be, and these tests would fail, as they
// should, because that encryption turns secure deletes into mere ones.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  decodeMemberEvent,
  destroyMember,
  keySubjectOf,
  memberSubjectOf,
  storeMember,
} from "../../records/index.js";
import { bus, decode } from "../../wire/codec.js";
import type { MemberPlace } from "../../wire/subjects.js";
import { enrolmentOf } from "./support/members.js";
import { openRig, type Rig } from "./support/rig.js";

/** Names of the files below `dir` that hold the bytes. */
function filesWith(dir: string, bytes: Uint8Array): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => readFileSync(file).includes(Buffer.from(bytes)));
}

async function reconnected({ nc }: Rig): Promise<void> {
  for await (const status of nc.status()) if (status.type === "reconnect") return;
}

/** Enrols members and gives, for each, the secret bytes as the log holds them. */
async function enrolSome({ eventLog, keyring }: Rig, members: number) {
  const enrolled = [];
  for (let i = 0; i < members; i++) {
    const enrolment = enrolmentOf("g");
    const outcome = await storeMember(eventLog, keyring, enrolment);
    if (!outcome.ok) throw new Error(outcome.detail);
    const keyEvent = await eventLog.last("KEYS", keySubjectOf(enrolment));
    const { wrapped } = decode(bus.DataKey, keyEvent?.body ?? new Uint8Array()) ?? {};
    const key = Uint8Array.from(wrapped?.sealed?.ciphertext ?? []);
    const event = await eventLog.last("MEMBERS", memberSubjectOf(enrolment));
    const body = decodeMemberEvent(event?.body ?? new Uint8Array())?.enrolled;
    const ciphertexts = [
      ...(body?.templates ?? []).map(({ signature }) => signature?.ciphertext),
      body?.profile?.ciphertext,
    ].map((bytes) => Uint8Array.from(bytes ?? []));
    expect(key).toHaveLength(32 + 16);
    expect(ciphertexts.map(({ length }) => length > 16)).toEqual([true, true, true]);
    enrolled.push({ enrolment, secrets: [key, ...ciphertexts] });
  }
  return enrolled;
}

describe("bytes on the disk of nats-server", () => {
  it.each([
    ["in the middle and at the end of a block that is being written", false],
    ["of blocks that a restarted server has closed", true],
  ])("are gone after an erasure: %s", async (_where, restartBefore) => {
    const rig = await openRig();
    try {
      const store = join(rig.dir, "nats");
      const enrolled = await enrolSome(rig, 6);
      await rig.server.stop();
      for (const { secrets } of enrolled) {
        for (const secret of secrets) expect(filesWith(store, secret)).toHaveLength(1);
      }
      const back = reconnected(rig);
      await rig.server.restart();
      await back;
      // Events after the restart go into the block that the server writes to now.
      const fresh = restartBefore ? enrolled : [...enrolled, ...(await enrolSome(rig, 4))];
      const isErased = (at: number) => at === 0 || at === 2 || at >= fresh.length - 2;
      for (const [at, { enrolment }] of fresh.entries()) {
        if (!isErased(at)) continue;
        const outcome = await destroyMember(rig.eventLog, enrolment, "operator");
        expect(outcome.ok).toBe(true);
      }
      await rig.server.stop();
      for (const [at, { secrets }] of fresh.entries()) {
        for (const secret of secrets) expect(filesWith(store, secret)).toHaveLength(isErased(at) ? 0 : 1);
      }
    } finally {
      await rig.close();
    }
  });

  it("are gone at once, although the server is killed right after the erasure", async () => {
    const rig = await openRig();
    try {
      const store = join(rig.dir, "nats");
      const enrolled = await enrolSome(rig, 3);
      const [, erased, kept] = enrolled;
      if (!erased || !kept) throw new Error("nobody enrolled");
      const outcome = await destroyMember(rig.eventLog, erased.enrolment, "operator");
      expect(outcome.ok).toBe(true);
      await rig.server.kill();
      for (const secret of erased.secrets) expect(filesWith(store, secret)).toEqual([]);
      for (const secret of kept.secrets) expect(filesWith(store, secret)).toHaveLength(1);
      const back = reconnected(rig);
      await rig.server.restart();
      await back;
      const keyOf = async (place: MemberPlace) =>
        (await rig.eventLog.all("KEYS", keySubjectOf(place))).length;
      await expect.poll(() => keyOf(kept.enrolment).catch(() => "starting"), { timeout: 10_000 }).toBe(1);
      expect(await keyOf(erased.enrolment)).toBe(0);
    } finally {
      await rig.close();
    }
  });

  it("would still be there after a mere delete, which is why erasure does more", async () => {
    const rig = await openRig();
    try {
      const { jetstreamManager } = await import("@nats-io/jetstream");
      const manager = await jetstreamManager(rig.nc);
      const enrolled = await enrolSome(rig, 3);
      const member = enrolled[1];
      if (!member) throw new Error("nobody enrolled");
      const event = await rig.eventLog.last("KEYS", keySubjectOf(member.enrolment));
      await manager.streams.deleteMessage("KEYS", event?.sequence ?? 0, false);
      await rig.server.stop();
      const key = member.secrets[0] ?? new Uint8Array();
      expect(filesWith(join(rig.dir, "nats"), key)).toHaveLength(1);
    } finally {
      await rig.close();
    }
  });
});
