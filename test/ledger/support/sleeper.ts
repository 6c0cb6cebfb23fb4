// A log for a ledger that is paused (SIGSTOP) just before its n-th write and wakes up late: it then goes on with what it
// was about to do, and with whatever it remembers.
import type { EventLog } from "../../../records/index.js";
import { BEAT_SUBJECT } from "../../../wire/subjects.js";

export interface Sleeper {
  wrap(eventLog: EventLog): EventLog;
  asleep: Promise<void>;
  wake(): void;
  /** Nothing hangs when it is closed. */
  rest(): void;
  /** What it wrote after it woke up. */
  lateWrites: { subject: string; stored: boolean }[];
}

/** @param sleepsAt the number of its write, from 1 */
export function sleeper(sleepsAt: number): Sleeper {
  let writes = 0;
  let sleeping: Promise<void> | undefined;
  let wake = () => {};
  let fallAsleep = () => {};
  let woken = false;
  const lateWrites: Sleeper["lateWrites"] = [];
  const asleep = new Promise<void>((resolve) => {
    fallAsleep = () => {
      sleeping = new Promise((awake) => {
        wake = () => {
          sleeping = undefined;
          woken = true;
          awake();
        };
      });
      resolve();
    };
  });
  const read = async <T>(ask: () => Promise<T>): Promise<T> => {
    await sleeping;
    const given = await ask();
    // What came in while it was paused is there when it goes on.
    await sleeping;
    return given;
  };
  const write = async <T extends { ok: boolean }>(subject: string, ask: () => Promise<T>): Promise<T> => {
    if (!woken && subject !== BEAT_SUBJECT && ++writes === sleepsAt) fallAsleep();
    const given = await read(ask);
    if (woken) lateWrites.push({ subject, stored: given.ok });
    return given;
  };
  return {
    asleep,
    lateWrites,
    wake: () => wake(),
    rest: () => wake(),
    wrap: (eventLog) => ({
      follow: (options) =>
        eventLog.follow({ ...options, onBatch: (events) => read(async () => options.onBatch(events)) }),
      append: (subject, ...rest) => write(subject, () => eventLog.append(subject, ...rest)),
      secureDelete: (stream, subject, ...rest) =>
        write(subject, () => eventLog.secureDelete(stream, subject, ...rest)),
      last: (...args) => read(() => eventLog.last(...args)),
      all: (...args) => read(() => eventLog.all(...args)),
      lastSequence: (...args) => read(() => eventLog.lastSequence(...args)),
      drop: (...args) => read(() => eventLog.drop(...args)),
      standing: (...args) => read(() => eventLog.standing(...args)),
      lastPerSubject: eventLog.lastPerSubject.bind(eventLog),
    }),
  };
}
