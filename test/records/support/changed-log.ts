// The real log with some of its methods changed, for tests of what happens when it is in trouble.
import type { EventLog } from "../../../records/index.js";

export function changedLog(log: EventLog, changes: Partial<EventLog>): EventLog {
  const lastPerSubject = log.lastPerSubject.bind(log);
  return {
    append: (...call) => log.append(...call),
    last: (...call) => log.last(...call),
    all: (...call) => log.all(...call),
    lastSequence: (...call) => log.lastSequence(...call),
    drop: (...call) => log.drop(...call),
    standing: (...call) => log.standing(...call),
    secureDelete: (...call) => log.secureDelete(...call),
    follow: (...call) => log.follow(...call),
    lastPerSubject,
    ...changes,
  };
}

/** The log until a crash: the call number `after` and every later one that changes it fail. */
export function crashingLog(log: EventLog, after: number): EventLog {
  let calls = 0;
  const alive = () => calls++ < after;
  const crashed = { ok: false, code: "LOG_UNAVAILABLE", detail: "crash" } as const;
  return changedLog(log, {
    append: async (...call) => (alive() ? log.append(...call) : crashed),
    secureDelete: async (...call) => (alive() ? log.secureDelete(...call) : crashed),
  });
}

/** The log, except that the answers to the first appends to subjects of this prefix are lost, or the appends are. */
export function losingLog(log: EventLog, prefix: string, what: "answer" | "append", times = 1): EventLog {
  let left = times;
  return changedLog(log, {
    append: async (subject, body, options) => {
      if (!subject.startsWith(prefix) || left-- <= 0) return log.append(subject, body, options);
      if (what === "answer") await log.append(subject, body, options);
      return { ok: false, code: "LOG_UNAVAILABLE", detail: "lost" };
    },
  });
}
