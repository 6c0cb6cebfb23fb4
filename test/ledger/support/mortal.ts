// A log for a ledger that dies: after its n-th write, which the log has stored, nothing of it ever comes back or goes
// out, as after a kill -9 between that write and the next line. Its beat does not count, and dies with it.

import { type EventLog, LogUnavailableError } from "../../../records/index.js";
import { encodeBeat } from "../../../wire/beat.js";
import type { Keyring } from "../../../wire/keyring.js";
import { BEAT_SUBJECT } from "../../../wire/subjects.js";

export interface Mortal {
  wrap(eventLog: EventLog): EventLog;
  /** Resolves when it is dead. */
  dead: Promise<void>;
  /** What hangs in its calls is told that the log does not answer, so that the test can close it. */
  rest(): void;
}

const UNAVAILABLE = { ok: false, code: "LOG_UNAVAILABLE", detail: "dead" } as const;

/** @param diesAfter writes */
export function mortal(diesAfter: number): Mortal {
  let writes = 0;
  let isDead = false;
  let die = () => {};
  let rest = () => {};
  const dead = new Promise<void>((resolve) => {
    die = () => {
      isDead = true;
      resolve();
    };
  });
  const atRest = new Promise<void>((resolve) => {
    rest = resolve;
  });
  const buried = async (): Promise<never> => {
    await atRest;
    throw new LogUnavailableError("dead");
  };
  const read = async <T>(ask: () => Promise<T>): Promise<T> => {
    if (isDead) return buried();
    const given = await ask();
    return isDead ? buried() : given;
  };
  const write = async <T extends { ok: boolean }>(
    ask: () => Promise<T>,
    counts: boolean,
  ): Promise<T | typeof UNAVAILABLE> => {
    const given = isDead ? undefined : await ask();
    if (given?.ok && counts && ++writes >= diesAfter) die();
    if (!isDead && given !== undefined) return given;
    await atRest;
    return UNAVAILABLE;
  };
  return {
    dead,
    rest: () => rest(),
    wrap: (eventLog) => ({
      follow: (options) => eventLog.follow(options),
      append: (subject, ...rest) => write(() => eventLog.append(subject, ...rest), subject !== BEAT_SUBJECT),
      secureDelete: (...args) => write(() => eventLog.secureDelete(...args), true),
      last: (...args) => read(() => eventLog.last(...args)),
      all: (...args) => read(() => eventLog.all(...args)),
      lastSequence: (...args) => read(() => eventLog.lastSequence(...args)),
      drop: (...args) => read(() => eventLog.drop(...args)),
      standing: (...args) => read(() => eventLog.standing(...args)),
      lastPerSubject: eventLog.lastPerSubject.bind(eventLog),
    }),
  };
}

/** The dead cannot say goodbye: this does it for them, so that a test need not wait until they are missed. */
export async function buryLeader(eventLog: EventLog, keyring: Keyring): Promise<void> {
  for (;;) {
    const last = await eventLog.last("MEMBERS", BEAT_SUBJECT);
    const beat = { atUnixMs: Date.now(), ledgerId: "", headSequence: last?.sequence ?? 0 };
    const appended = await eventLog.append(BEAT_SUBJECT, encodeBeat(keyring, beat), {
      expectedSubjectSequence: last?.sequence ?? 0,
    });
    if (appended.ok) return;
  }
}
