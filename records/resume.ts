// Finishes erasures that a crash left half done: `Erased` is in the log, but the key or earlier events still are too.
//
// Invariant: it reads no body of the log, so that it costs little however many members there are.
import type { Log } from "../wire/log.js";
import { fromHex } from "../wire/partition.js";
import { keySubject, STREAMS } from "../wire/subjects.js";
import type { ErasureDeps } from "./enrolment.js";
import { ERASED_ID_PREFIX, eraseMember } from "./erasure.js";
import type { EventLog } from "./log.js";

export interface ResumedErasures {
  /** Erasures found half done and finished now. */
  finished: number;
  /** Found half done, and still not confirmed by every holder (or the log went away). */
  pending: number;
}

interface Found {
  subject: string;
  sequence: number;
}

/**
 * @param holdersOf workers that hold a partition now
 * Throws LogUnavailableError. To be called at start, and again while `pending` is not 0.
 */
export async function resumeErasures(
  deps: ErasureDeps,
  holdersOf: (gallery: string, partition: number) => number,
): Promise<ResumedErasures> {
  const result = { finished: 0, pending: 0 };
  for (const found of await erasedSubjects(deps.eventLog, deps.log)) {
    const [, gallery = "", partitionText = "", memberHex = ""] = found.subject.split(".");
    const partition = Number(partitionText);
    if (!(await isHalfDone(deps.eventLog, found, keySubject(gallery, partition, memberHex)))) continue;
    const outcome = await eraseMember(deps, {
      gallery,
      partition,
      memberId: fromHex(memberHex),
      requestedBy: "resumed",
      holders: holdersOf(gallery, partition),
    });
    if (outcome.ok) result.finished++;
    else result.pending++;
  }
  return result;
}

async function isHalfDone(eventLog: EventLog, { subject, sequence }: Found, key: string): Promise<boolean> {
  if ((await eventLog.last(STREAMS.keys, key)) !== undefined) return true;
  const [first] = await eventLog.all(STREAMS.members, subject);
  return first !== undefined && first.sequence < sequence;
}

async function erasedSubjects(eventLog: EventLog, log: Log): Promise<Found[]> {
  const found: Found[] = [];
  const follower = eventLog.follow({
    stream: STREAMS.members,
    filter: "members.>",
    afterSequence: 0,
    withoutBodies: true,
    onBatch: (events) => {
      for (const { subject, sequence, messageId } of events) {
        if (messageId?.startsWith(ERASED_ID_PREFIX)) found.push({ subject, sequence });
      }
    },
    log,
  });
  try {
    await follower.caughtUp();
    return [...found];
  } finally {
    await follower.stop();
  }
}
