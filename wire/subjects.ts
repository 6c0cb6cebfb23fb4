// Names on the bus. Every subject, stream and bucket that Palmgate uses is made here and nowhere else.
//
// Gallery, site and device names match NAME_PATTERN / DEVICE_ID_PATTERN (no dots, no wildcards), so that a name can
// never reach into another subject.

export const STREAMS = {
  members: "MEMBERS",
  keys: "KEYS",
  decisions: "DECISIONS",
  payments: "PAYMENTS",
} as const;

export const STREAM_SUBJECTS = {
  MEMBERS: ["members.>"],
  KEYS: ["keys.>"],
  DECISIONS: ["decisions.>", "passages.>"],
  PAYMENTS: ["payments.>"],
} as const;

export const BUCKETS = {
  galleries: "palmgate_galleries",
  matchers: "palmgate_matchers",
  passes: "palmgate_passes",
  devices: "palmgate_devices",
} as const;

export const MATCHER_QUEUE = "matchers";

export const searchSubject = (gallery: string, partition: number) => `search.${gallery}.${partition}`;
export const appliedSubject = (gallery: string, partition: number) => `applied.${gallery}.${partition}`;
export const memberSubject = (gallery: string, partition: number, memberHex: string) =>
  `members.${gallery}.${partition}.${memberHex}`;
/** Filter for all members of one partition. */
export const partitionMembersFilter = (gallery: string, partition: number) =>
  `members.${gallery}.${partition}.*`;
export const keySubject = (gallery: string, partition: number, memberHex: string) =>
  `keys.${gallery}.${partition}.${memberHex}`;
export const partitionKeysFilter = (gallery: string, partition: number) => `keys.${gallery}.${partition}.*`;
export const decisionSubject = (site: string, deviceId: string) => `decisions.${site}.${deviceId}`;
export const passageSubject = (site: string, deviceId: string) => `passages.${site}.${deviceId}`;
export const paymentSubject = (presentationHex: string) => `payments.${presentationHex}`;
