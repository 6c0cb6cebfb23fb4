// Against scripted workers over a real nats-server: two rows of one slot.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { MemberClient } from "../../identify/index.js";
import { bus } from "../../wire/codec.js";
import { GALLERY, ORGANISATION, openRig, type Rig } from "./support/rig.js";

const ALICE = `02${"aa".repeat(15)}`;
const STRANGER = `02${"ff".repeat(15)}`;
const PEOPLE = [
  {
    hex: ALICE,
    organisation: ORGANISATION,
    gallery: GALLERY,
    vector: Float32Array.of(1, 0),
    facts: { profile: { consents: [1, 2] } },
  },
];

let rig: Rig;
let members: MemberClient;
beforeAll(async () => {
  rig = await openRig({ rows: 2, slots: 1 });
  members = new MemberClient(rig.nats, rig.fleet, rig.keyring);
});
afterEach(() => rig.noWorkers());
afterAll(() => rig.close());

const worker = (row: number) => rig.worker({ id: `w${row}`, row, slot: 0, slots: 1 }, PEOPLE);
const get = (hex = ALICE, more?: { atLeastSequence: number }) => members.get(ORGANISATION, hex, 2000, more);

describe("a member asked of its shard", () => {
  it("comes with its facts, gallery and templates, and the sequence that was applied", async () => {
    await worker(0);
    expect(await get()).toMatchObject({
      ok: true,
      member: {
        facts: { revision: 7, profile: { consents: [1, 2] } },
        gallery: GALLERY,
        templates: [{ modelId: "m", position: 1 }],
        appliedSequence: 7,
      },
    });
  });

  it("is NOT_FOUND when a current worker knows none, and for another organisation", async () => {
    await worker(0);
    expect(await get(STRANGER)).toEqual({ ok: false, code: "NOT_FOUND" });
    expect(await members.get("other", ALICE, 2000)).toEqual({ ok: false, code: "NOT_FOUND" });
    expect(await get("no hex")).toEqual({ ok: false, code: "NOT_FOUND" });
  });

  it("is ERASED when the worker says so", async () => {
    const one = await worker(0);
    one.script.member = ({ workerId }) => ({ workerId: workerId ?? "", status: bus.MemberStatus.ERASED });
    expect(await get()).toEqual({ ok: false, code: "ERASED" });
  });

  it("is asked of the next worker where one cannot say, is silent, lies or is behind", async () => {
    const [one] = [await worker(0), await worker(1)];
    for (const said of [
      () => ({ workerId: "w0", status: bus.MemberStatus.UNREADY }),
      () => undefined,
      (reply: bus.MemberReply.$Properties) => ({
        ...reply,
        facts: { nonce: new Uint8Array(12), ciphertext: new Uint8Array(40) },
      }),
    ]) {
      one.script.member = said;
      expect(await get()).toMatchObject({ ok: true });
    }
    one.script.member = (reply) => ({ ...reply, status: bus.MemberStatus.UNKNOWN, appliedSequence: 6 });
    expect(await get()).toEqual({ ok: false, code: "NOT_FOUND" });
    expect(await get(ALICE, { atLeastSequence: 7 })).toMatchObject({ ok: true });
  });

  it("is UNAVAILABLE at the deadline, and not before, when nobody can say", async () => {
    const fromMs = performance.now();
    expect(await members.get(ORGANISATION, ALICE, 200)).toEqual({ ok: false, code: "UNAVAILABLE" });
    const one = await worker(0);
    one.script.member = () => undefined;
    expect(await members.get(ORGANISATION, ALICE, 200)).toEqual({ ok: false, code: "UNAVAILABLE" });
    expect(performance.now() - fromMs).toBeGreaterThan(390);
  });
});
