import { describe, expect, it } from "vitest";
import { type RecordEvent, Recorder } from "../../../gateway/record/recorder.js";
import { bus, decode, encode } from "../../../wire/codec.js";
import { openLog } from "../../../wire/log.js";
import { memoryLog } from "../support/memory-log.js";

const decision = (n: number, granted = false) =>
  encode(bus.DecisionEvent, { atUnixMs: 1000 + n, gatewayId: "g1", frames: n, granted });
const event = (n: number): RecordEvent => ({ subject: `decisions.acme.north.gate.${n}`, body: decision(n) });
const recorderOver = (log: ReturnType<typeof memoryLog>, maxEvents = 100) =>
  new Recorder(log, openLog("test"), maxEvents);

describe("recorder", () => {
  it("keeps events while the log is away and brings all of them, none twice, when it is back", async () => {
    const log = memoryLog();
    const recorder = recorderOver(log);
    log.away = true;
    for (let n = 0; n < 50; n++) recorder.add(event(n));
    expect(recorder.unrecorded).toBe(50);
    log.away = false;
    log.losesAnswers = 20;
    expect(await recorder.flush()).toBe(0);
    const stored = log.events.map(({ subject }) => subject);
    expect(stored.toSorted()).toEqual(Array.from({ length: 50 }, (_, n) => event(n).subject).toSorted());
  });

  it("never comes on top of what was decided of that presentation elsewhere", async () => {
    const log = memoryLog();
    await log.append(event(1).subject, decision(9, true), { expectedSubjectSequence: 0 });
    const recorder = recorderOver(log);
    recorder.add(event(1));
    expect(await recorder.flush()).toBe(0);
    expect(log.events).toHaveLength(1);
  });

  it("takes back a grant of ours that nobody was told of, and no other", async () => {
    const log = memoryLog();
    const ours = { atUnixMs: 1007, gatewayId: "g1" };
    const subjects = [1, 2, 3].map((n) => event(n).subject);
    const [own = "", another = "", none = ""] = subjects;
    await log.append(own, decision(7, true));
    await log.append(another, encode(bus.DecisionEvent, { ...ours, gatewayId: "g2", granted: true }));
    const recorder = recorderOver(log);
    for (const subject of subjects) recorder.add({ subject, body: decision(0), takesBack: ours });
    expect(await recorder.flush()).toBe(0);
    const last = async (subject: string) =>
      decode(bus.DecisionEvent, (await log.last("DECISIONS", subject))?.body ?? new Uint8Array())?.granted;
    expect([await last(own), await last(another), await last(none)]).toEqual([false, true, false]);
  });

  it("ends with events that the log never took, and says how many", { timeout: 20_000 }, async () => {
    const log = memoryLog();
    log.away = true;
    const recorder = recorderOver(log);
    for (let n = 0; n < 3; n++) recorder.add(event(n));
    expect(await recorder.close()).toBe(3);
  });

  it("says that it is full, counting those under way", async () => {
    const log = memoryLog();
    log.away = true;
    const recorder = recorderOver(log, 10);
    for (let n = 0; n < 7; n++) recorder.add(event(n));
    expect(recorder.full(2)).toBe(false);
    expect(recorder.full(3)).toBe(true);
    log.away = false;
    expect(await recorder.flush()).toBe(0);
  });
});
