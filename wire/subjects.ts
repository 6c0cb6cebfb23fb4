// Names on the bus. Every subject, stream and bucket that Palmgate uses is made here and nowhere else.
//
// Organisation, gallery, site and device names match NAME_PATTERN / DEVICE_ID_PATTERN (no dots, no wildcards), so that a
// name can never reach into another subject. Shards come first where a matcher filters by them: wildcard filters replay
// ten times as fast as literal ones.

export const STREAMS = {
  members: "MEMBERS",
  keys: "KEYS",
  sagas: "SAGAS",
  decisions: "DECISIONS",
  payments: "PAYMENTS",
} as const;

export type StreamName = (typeof STREAMS)[keyof typeof STREAMS];

export const STREAM_SUBJECTS = {
  MEMBERS: ["members.>"],
  KEYS: ["keys.>"],
  SAGAS: ["sagas.>"],
  DECISIONS: ["decisions.>", "passages.>"],
  PAYMENTS: ["payments.>"],
} as const satisfies Record<StreamName, readonly string[]>;

export const BUCKETS = {
  /** Organisations, galleries, sites, devices, policies, the fleet: wire/directory.ts. */
  directory: "palmgate_directory",
  /** Heartbeats of matchers. */
  matchers: "palmgate_matchers",
  /** Heartbeats of gateways. */
  gateways: "palmgate_gateways",
  /** Heartbeats of ledgers: wire/ledgers.ts. */
  ledgers: "palmgate_ledgers",
  /** Which lane is linked to which gateway now. */
  lanes: "palmgate_lanes",
  slots: "palmgate_slots",
  holders: "palmgate_holders",
  passes: "palmgate_passes",
  /** State of the sandbox processor. */
  sandbox: "palmgate_sandbox",
} as const;

/** Where a member's events and key lie. */
export interface MemberPlace {
  organisation: string;
  gallery: string;
  /** 16 bytes */
  memberId: Uint8Array;
}

const dotted = (...parts: readonly (string | number)[]) => parts.join(".");

export const memberSubject = (shard: number, organisation: string, gallery: string, memberHex: string) =>
  dotted("members", shard, organisation, gallery, memberHex);
/** Filter for all members of one shard. */
export const shardMembersFilter = (shard: number) => dotted("members", shard, ">");
export const BEAT_SUBJECT = "members.beat";
export const keySubject = (shard: number, organisation: string, gallery: string, memberHex: string) =>
  dotted("keys", shard, organisation, gallery, memberHex);
export const shardKeysFilter = (shard: number) => dotted("keys", shard, ">");

export type SagaKindName = "enrol" | "erase" | "refund";
export const sagaSubject = (kind: SagaKindName, organisation: string, id: string) =>
  dotted("sagas", kind, organisation, id);

export const decisionSubject = (
  organisation: string,
  site: string,
  deviceId: string,
  presentationHex: string,
) => dotted("decisions", organisation, site, deviceId, presentationHex);
export const passageSubject = (
  organisation: string,
  site: string,
  deviceId: string,
  presentationHex: string,
) => dotted("passages", organisation, site, deviceId, presentationHex);
export const paymentSubject = (organisation: string, presentationHex: string) =>
  dotted("payments", organisation, presentationHex);

/** Round one of a search: every thread of every worker of the row hears it. */
export const rowSearchSubject = (row: number) => dotted("row", row, "search");
/** Round one, for the threads of one worker: asked of the twin of one that did not answer. */
export const workerSearchSubject = (workerId: string) => dotted("worker", workerId, "search");
/** Round two. */
export const compareSubject = (workerId: string, thread: number) =>
  dotted("worker", workerId, "thread", thread, "compare");
export const memberReadSubject = (workerId: string, shard: number) =>
  dotted("worker", workerId, "shard", shard, "member");
export const appliedSubject = (workerId: string, shard: number) =>
  dotted("worker", workerId, "shard", shard, "applied");

/** A member's uses: any ledger answers (queue group "ledgers"). */
export const HISTORY_SUBJECT = "ledger.history";
export const LEDGER_QUEUE = "ledgers";
/** Decisions as they fall, for live pages; plain NATS, lost when nobody listens. */
export const liveSubject = (organisation: string) => dotted("live", organisation);
/** Wrong tries at one desk, told to the others, so that a throttle is the fleet's; plain NATS. */
export const TRIES_SUBJECT = "desk.tries";
