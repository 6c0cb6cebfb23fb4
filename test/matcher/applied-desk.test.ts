// "Has this shard applied the log up to here?", as a shard of a worker answers it.
import { describe, expect, it } from "vitest";
import { AppliedDesk, type AppliedSource, MAX_WAITING_APPLIED } from "../../matcher/applied-desk.js";
import { bus, decode, encode } from "../../wire/codec.js";
import { fromHex } from "../../wire/hex.js";

const identity = { workerId: "w", instance: "life", thread: 1 };
const memberHex = (n: number) => n.toString(16).padStart(32, "0");

describe("an applied request", () => {
  class Source implements AppliedSource {
    applied = 10;
    full = false;
    present = new Set<string>();
    forgotten: string[] = [];
    appliedSequence = (shard: number) => (shard === 0 ? this.applied : 0);
    aside = new Set<number>();
    isEntered = (sequence: number) => !this.aside.has(sequence);
    storeFull = () => this.full;
    holds = (member: string) => this.present.has(member);
    forgetKey = (member: string) => void this.forgotten.push(member);
  }
  const setUp = () => {
    const source = new Source();
    const desk = new AppliedDesk(source, identity);
    const answers: string[] = [];
    const put = (streamSequence: number, waitMs: number, erased?: Uint8Array, shard = 0) =>
      desk.ask(
        shard,
        encode(bus.AppliedRequest, { streamSequence, waitMs, ...(erased ? { erasedMemberId: erased } : {}) }),
        (reply) => {
          const message = decode(bus.AppliedReply, reply);
          expect(message).toMatchObject({ workerId: "w", instance: "life" });
          answers.push(bus.AppliedStatus[message?.status ?? 0] ?? "");
        },
      );
    return { source, desk, answers, put };
  };

  it("is answered at once when applied, and when it must not wait; by its own shard", () => {
    const { answers, put } = setUp();
    put(10, 0);
    put(11, 0);
    put(10, 0, undefined, 1);
    expect(answers).toEqual(["APPLIED", "NOT_YET", "NOT_YET"]);
  });

  it("waits for a member who is set aside; for nobody else, and no erasure does", () => {
    const { source, desk, answers, put } = setUp();
    source.aside.add(9);
    put(9, 0);
    put(8, 0);
    put(9, 0, new Uint8Array(16));
    expect(answers).toEqual(["NOT_YET", "APPLIED", "APPLIED"]);
    put(9, 5000);
    source.aside.clear();
    desk.changed();
    expect(answers.at(-1)).toBe("APPLIED");
  });

  it("waits until the sequence is applied, and is answered once", () => {
    const { source, desk, answers, put } = setUp();
    put(11, 5000);
    put(12, 5000);
    desk.changed();
    expect(answers).toEqual([]);
    source.applied = 11;
    desk.changed();
    desk.changed();
    expect(answers).toEqual(["APPLIED"]);
    expect(desk.waiting).toBe(1);
    desk.close();
    expect(answers).toEqual(["APPLIED", "NOT_YET"]);
    expect(desk.waiting).toBe(0);
  });

  it("ends with NOT_YET when its time is up", async () => {
    const { desk } = setUp();
    const body = encode(bus.AppliedRequest, { streamSequence: 11, waitMs: 30 });
    const status = await new Promise<number | undefined>((resolve) => {
      desk.ask(0, body, (reply) => resolve(decode(bus.AppliedReply, reply)?.status));
    });
    expect(status).toBe(bus.AppliedStatus.NOT_YET);
  });

  it("is told that the store is full, also while it waits, but not for what is applied already", () => {
    const { source, desk, answers, put } = setUp();
    put(11, 5000);
    source.full = true;
    desk.changed();
    put(12, 5000);
    put(10, 5000);
    expect(answers).toEqual(["STORE_FULL", "STORE_FULL", "APPLIED"]);
  });

  it("confirms an erasure only when nothing of the member is left, its key neither", () => {
    const { source, answers, put } = setUp();
    const erased = fromHex(memberHex(7));
    source.present.add(memberHex(7));
    put(10, 0, erased);
    put(11, 0, erased);
    expect(source.forgotten).toEqual([]);
    source.present.clear();
    put(10, 0, erased);
    expect(answers).toEqual(["STILL_PRESENT", "NOT_YET", "APPLIED"]);
    expect(source.forgotten).toEqual([memberHex(7)]);
  });

  it("does not wait when too many wait already, and bytes that are no question get NOT_YET", () => {
    const { desk, answers, put } = setUp();
    for (let i = 0; i < MAX_WAITING_APPLIED; i++) put(11, 5000);
    expect(answers).toEqual([]);
    put(11, 5000);
    desk.ask(0, new Uint8Array([0x0a, 0xff]), () => answers.push("answered"));
    expect(answers).toEqual(["NOT_YET", "answered"]);
    expect(desk.waiting).toBe(MAX_WAITING_APPLIED);
    desk.close();
  });
});
