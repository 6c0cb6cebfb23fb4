// The verdict of a drill, pure: what was done and told, beside what the record holds in the end. It is judged from outside,
// by the operations and the books, never by what the processes say of themselves.
//
// Invariants (test/cli/drill-verdict.test.ts): every fault below counts; what may happen when machines die (UNDECIDED,
// an order that nobody paid, an enrolment that nobody acknowledged) does not.

/** One presentation, as the lane and the person know it. Times are of the drill's own clock. */
export interface Presented {
  /** Who stood there. */
  person: number;
  /** Pseudonym at that site of the member this person was when the presentation began and still was when it ended; undefined: nobody. */
  truth: string | undefined;
  /** Pseudonyms at that site of the members this person once was, all erased with a receipt before it began. */
  erased: readonly string[];
  /** The person was enrolled or erased meanwhile: who they are is not certain, only who they are not. */
  unsure: boolean;
  outcome: "MATCH" | "NO_MATCH" | "AMBIGUOUS" | "LOW_QUALITY" | "UNDECIDED" | "NO_DECISION";
  pairwiseId: string;
  granted: boolean;
  /** The gate opened, the goods were handed over. */
  served: boolean;
  presentationHex: string;
  /** Of a till: one order, however often it was presented. */
  orderRef: string | undefined;
}

export interface EnrolledBy {
  person: number;
  memberId: string;
}

export interface Operations {
  presented: readonly Presented[];
  /** Acknowledged, and not erased since. */
  living: readonly EnrolledBy[];
  /** Erased with a receipt. */
  erased: readonly EnrolledBy[];
}

/** What is found in the end, when everything runs again and nothing is under way. */
export interface Found {
  /** Members that the desk knows, by id, of those whom the operations name. */
  members: ReadonlySet<string>;
  /** Living members in the log, whoever knows of them. */
  living: number;
  /**
   * Grants in the log that stand at the end, by presentation: how many. One that was answered again after a lost link
   * stands there twice and is one; one that was taken back before it was answered is none.
   */
  grants: ReadonlyMap<string, number>;
  /** Payments in the log, by presentation. */
  payments: ReadonlyMap<string, { orderRef: string; captured: boolean; open: boolean }>;
  /** How often the processor took money, by presentation. */
  takes: ReadonlyMap<string, number>;
}

/** The words of every drill. All but rounds, presentations and undecided are to be 0. */
export interface Verdict {
  rounds: number;
  presentations: number;
  /** Members taken for others, strangers for members, erased ones recognised. */
  wrong: number;
  /** Members who were told that nobody knows them, or that they might be two people. */
  missed: number;
  /** No decision, or "one moment". */
  undecided: number;
  /** Acknowledged and not there: members, grants that opened a gate, payments. */
  lost: number;
  /** Presentations granted twice in the record, people who became two members. */
  doubled: number;
  /** Erased with a receipt, and known. */
  resurrected: number;
  /** Orders for which money was taken more than once. */
  paidTwice: number;
  /** Orders that were paid and never served. */
  paidNotServed: number;
  /** Orders that were served and not paid. */
  servedNotPaid: number;
}

const count = <T>(all: Iterable<T>, holds: (each: T) => boolean): number => {
  let n = 0;
  for (const each of all) if (holds(each)) n++;
  return n;
};

export function judge(rounds: number, done: Operations, found: Found): Verdict {
  const { presented } = done;
  return {
    rounds,
    presentations: presented.length,
    wrong: count(presented, isWrong),
    missed: count(presented, isMissed),
    undecided: count(presented, ({ outcome }) => outcome === "UNDECIDED" || outcome === "NO_DECISION"),
    lost: lost(done, found),
    doubled: count(found.grants.values(), (grants) => grants > 1) + membersTooMany(done, found),
    resurrected: resurrected(done, found),
    ...money(done, found),
  };
}

function isWrong({ outcome, pairwiseId, truth, erased, unsure }: Presented): boolean {
  if (outcome !== "MATCH") return false;
  if (erased.includes(pairwiseId)) return true;
  return pairwiseId !== truth && !unsure;
}

const isMissed = ({ truth, unsure, outcome }: Presented): boolean =>
  truth !== undefined && !unsure && (outcome === "NO_MATCH" || outcome === "AMBIGUOUS");

function lost({ living, presented }: Operations, { members, grants }: Found): number {
  const gone = count(living, ({ memberId }) => !members.has(memberId));
  const unrecorded = count(
    presented,
    ({ served, presentationHex }) => served && !grants.has(presentationHex),
  );
  return gone + unrecorded;
}

/** Members in the log beyond those who were acknowledged or came back: somebody's palm is there twice. */
const membersTooMany = (done: Operations, found: Found): number =>
  Math.max(0, found.living - done.living.length - resurrected(done, found));

const resurrected = ({ erased }: Operations, { members }: Found): number =>
  count(erased, ({ memberId }) => members.has(memberId));

function money({ presented }: Operations, { payments, takes }: Found) {
  const served = new Set(presented.flatMap((each) => (each.served && each.orderRef ? [each.orderRef] : [])));
  const taken = new Map<string, number>();
  for (const [presentationHex, { orderRef, captured }] of payments) {
    const times = Math.max(takes.get(presentationHex) ?? 0, captured ? 1 : 0);
    taken.set(orderRef, (taken.get(orderRef) ?? 0) + times);
  }
  return {
    paidTwice: count(taken.values(), (times) => times > 1),
    paidNotServed: count(taken, ([orderRef, times]) => times > 0 && !served.has(orderRef)),
    servedNotPaid: count(served, (orderRef) => (taken.get(orderRef) ?? 0) === 0),
  };
}

/** Whether nothing is wrong. */
export const isClean = ({ rounds: _, presentations: __, undecided: ___, ...faults }: Verdict): boolean =>
  Object.values(faults).every((n) => n === 0);
