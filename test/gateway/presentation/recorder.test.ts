import { describe, expect, it } from "vitest";
import { type RecordEvent, Recorder } from "../../../gateway/recorder.js";
import { openLog } from "../../../wire/log.js";

const event = (n: number): RecordEvent => ({
  subject: `decisions.north.gate-${n}`,
  body: Uint8Array.of(n),
});

/** The log's contract in memory: stored once per message id; an answer may get lost on its way back. */
function memoryLog() {
  const stored = new Map<string, Uint8Array>();
  const state = { down: false, losesAnswers: 0 };
  return {
    stored,
    state,
    append: async (_: string, body: Uint8Array, opts?: { messageId?: string }) => {
      if (state.down) return { ok: false as const, code: "LOG_UNAVAILABLE" as const, detail: "away" };
      const id = opts?.messageId ?? "";
      const duplicate = stored.has(id);
      if (!duplicate) stored.set(id, body);
      if (state.losesAnswers > 0) {
        state.losesAnswers -= 1;
        return { ok: false as const, code: "LOG_UNAVAILABLE" as const, detail: "no answer" };
      }
      return { ok: true as const, sequence: stored.size, duplicate };
    },
  };
}

describe("recorder", () => {
  it("keeps events while the log is away and brings all of them, none twice, when it is back", async () => {
    const log = memoryLog();
    const recorder = new Recorder(log, openLog("test"), 100);
    log.state.down = true;
    for (let n = 0; n < 50; n++) recorder.add(event(n));
    expect(recorder.unrecorded).toBe(50);
    log.state.down = false;
    log.state.losesAnswers = 20;
    expect(await recorder.flush()).toBe(0);
    expect([...log.stored.values()].map(([n]) => n).toSorted()).toEqual(
      Array.from({ length: 50 }, (_, n) => n).toSorted(),
    );
  });

  it("ends with events that the log never took, and says how many", { timeout: 20_000 }, async () => {
    const log = memoryLog();
    log.state.down = true;
    const recorder = new Recorder(log, openLog("test"), 100);
    for (let n = 0; n < 3; n++) recorder.add(event(n));
    expect(await recorder.close()).toBe(3);
  });

  it("says that it is full, counting those under way", async () => {
    const log = memoryLog();
    log.state.down = true;
    const recorder = new Recorder(log, openLog("test"), 10);
    for (let n = 0; n < 7; n++) recorder.add(event(n));
    expect(recorder.full(2)).toBe(false);
    expect(recorder.full(3)).toBe(true);
    log.state.down = false;
    expect(await recorder.flush()).toBe(0);
  });
});
