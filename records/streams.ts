// The streams of the record: how they are made, and what must hold for one that is there already.
//
// Invariants:
// - on disk, never discarded to make room: a full stream refuses, it does not forget; decisions, payments and sagas
//   expire by age, members and keys never do;
// - each stream has a quota of its own, so that none can fill another one's place: members and keys may use what the
//   server has, the others are bounded, by default to half of what the server has in all;
// - messages can be deleted one by one: erasure depends on it;
// - a stream of another layout, and a nats-server that is too old, are refused in one clear line;
// - opening is idempotent and safe when many processes do it at once: the server compares, one of them creates.
import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import {
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { UsageError } from "../wire/config.js";
import { LAYOUT } from "../wire/limits.js";
import { STREAM_SUBJECTS, STREAMS, type StreamName } from "../wire/subjects.js";

export interface StreamOptions {
  /** Copies of each stream in a cluster of nats-servers, 1..5. */
  replicas?: number;
  /** Quota of each stream in bytes; 0: what the server has. Left out: the defaults, or less where the server has less. */
  maxBytes?: Partial<Record<StreamName, number>>;
  /** Decisions and passages older than this leave the log. */
  decisionsAgeDays?: number;
  paymentsAgeDays?: number;
  sagasAgeDays?: number;
}

const GIB = 1024 ** 3;
const DEFAULT_MAX_BYTES: Record<StreamName, number> = {
  MEMBERS: 0,
  KEYS: 0,
  SAGAS: 2 * GIB,
  DECISIONS: 8 * GIB,
  PAYMENTS: 4 * GIB,
};
/** Of the room of all bounded streams, what stays free for members and keys. */
const ROOM_FACTOR = 2;
/** A server without this much room in all is too small. */
const LEAST_ROOM_BYTES = 1024 ** 2;
const DEFAULT_AGE_DAYS = { decisions: 90, payments: 400, sagas: 400 };
const DAY_MS = 24 * 60 * 60 * 1000;
/** An append repeated within this time with the same message id is stored once. */
const DUPLICATE_WINDOW_MS = 120_000;
/** JetStream answers only after it has recovered its store. */
const OPEN_DEADLINE_MS = 30_000;
const OPEN_RETRY_MS = 250;
const STREAM_NOT_FOUND = 10059;
const STREAM_EXISTS_WITH_OTHER_CONFIG = 10058;
/** The server has not as much room as the stream's quota asks for. */
const NO_ROOM_TO_RESERVE: readonly number[] = [10047, 10028, 10023];
const ROOM_DEADLINE_MS = 10_000;
const ROOM_RETRY_MS = 100;
const ROOM_TRIES = 4;
const LAYOUT_FIELD = "palmgate.layout";

type Wanted = Partial<StreamConfig> & Pick<StreamConfig, "name" | "subjects">;

/** Makes the streams that are missing and checks those that are there. Throws when one breaks a law of the record. */
export async function openStreams(manager: JetStreamManager, options: StreamOptions): Promise<void> {
  for (const name of Object.values(STREAMS)) {
    const giveUpAtMs = Date.now() + ROOM_DEADLINE_MS;
    while (!(await starting(() => openStream(manager, name, options)))) {
      if (Date.now() > giveUpAtMs) throw noRoom(`for stream ${name}`);
      // Others that start now are finding out how much room there is, and hold it meanwhile.
      await pause(ROOM_RETRY_MS * (0.5 + Math.random()));
    }
  }
}

/** @returns false when the server has no room for it now */
async function openStream(
  manager: JetStreamManager,
  name: StreamName,
  options: StreamOptions,
): Promise<boolean> {
  const found = await findStream(manager, name);
  if (found !== undefined) {
    assertKeepsTheLaws(wanted(name, options, 0), found);
    return true;
  }
  const given = options.maxBytes?.[name];
  const isDefault = given === undefined && DEFAULT_MAX_BYTES[name] > 0;
  const share = isDefault ? await shareThatFits(manager, options) : 1;
  const maxBytes = given ?? Math.floor(DEFAULT_MAX_BYTES[name] * share);
  try {
    await manager.streams.add(wanted(name, options, maxBytes));
    return true;
  } catch (error) {
    // Another process was faster with another quota, or holds room for a moment: looked at anew.
    if (isApiError(error, [STREAM_EXISTS_WITH_OTHER_CONFIG, ...NO_ROOM_TO_RESERVE])) return false;
    throw error;
  }
}

/** Repeats what a server does not answer that is still starting. A coded answer is about our configuration. */
async function starting<T>(attempt: () => Promise<T>): Promise<T> {
  const giveUpAtMs = Date.now() + OPEN_DEADLINE_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (error instanceof JetStreamApiError || error instanceof UsageError || Date.now() > giveUpAtMs)
        throw error;
    }
    await pause(OPEN_RETRY_MS);
  }
}

/**
 * The part of the default quotas that is taken here: that of a stream that is there already, else what leaves as much
 * room again, found by asking for it.
 */
async function shareThatFits(manager: JetStreamManager, options: StreamOptions): Promise<number> {
  for (const name of Object.values(STREAMS)) {
    if (DEFAULT_MAX_BYTES[name] === 0 || options.maxBytes?.[name] !== undefined) continue;
    const maxBytes = (await findStream(manager, name))?.max_bytes ?? 0;
    if (maxBytes > 0) return Math.min(1, maxBytes / DEFAULT_MAX_BYTES[name]);
  }
  const allBytes = ROOM_FACTOR * Object.values(DEFAULT_MAX_BYTES).reduce((sum, bytes) => sum + bytes, 0);
  for (let share = 1; share * allBytes >= LEAST_ROOM_BYTES; share /= 2) {
    for (let tries = 0; tries < ROOM_TRIES; tries++) {
      if (await hasRoom(manager, Math.floor(share * allBytes), options)) return share;
      await pause(ROOM_RETRY_MS * Math.random());
    }
  }
  throw noRoom(`for the record (${LEAST_ROOM_BYTES} bytes at least)`);
}

/** Makes a stream of that size and takes it away again. Others that do so at the same time may be in the way. */
async function hasRoom(
  manager: JetStreamManager,
  maxBytes: number,
  { replicas = 1 }: StreamOptions,
): Promise<boolean> {
  const name = `PALMGATE_ROOM_${randomBytes(8).toString("hex")}`;
  try {
    await manager.streams.add({ name, subjects: [name], max_bytes: maxBytes, num_replicas: replicas });
  } catch (error) {
    if (isApiError(error, NO_ROOM_TO_RESERVE)) return false;
    throw error;
  }
  await manager.streams.delete(name);
  return true;
}

const isApiError = (error: unknown, codes: readonly number[]): boolean =>
  error instanceof JetStreamApiError && codes.includes(error.code);

const noRoom = (forWhat: string) =>
  new UsageError(`nats-server has no room ${forWhat}. Give JetStream more (max_file_store).`);

function wanted(name: StreamName, options: StreamOptions, maxBytes: number): Wanted {
  return {
    name,
    subjects: [...STREAM_SUBJECTS[name]],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.New,
    max_age: nanos(ageDaysOf(name, options) * DAY_MS),
    max_bytes: maxBytes === 0 ? -1 : maxBytes,
    duplicate_window: nanos(DUPLICATE_WINDOW_MS),
    num_replicas: options.replicas ?? 1,
    deny_delete: false,
    allow_direct: true,
    // Beats have a life of their own; nothing else in the record does.
    allow_msg_ttl: name === STREAMS.members,
    metadata: { [LAYOUT_FIELD]: String(LAYOUT) },
  };
}

/** 0: for ever. */
function ageDaysOf(name: StreamName, options: StreamOptions): number {
  if (name === STREAMS.decisions) return options.decisionsAgeDays ?? DEFAULT_AGE_DAYS.decisions;
  if (name === STREAMS.payments) return options.paymentsAgeDays ?? DEFAULT_AGE_DAYS.payments;
  if (name === STREAMS.sagas) return options.sagasAgeDays ?? DEFAULT_AGE_DAYS.sagas;
  return 0;
}

async function findStream(manager: JetStreamManager, name: StreamName): Promise<StreamConfig | undefined> {
  try {
    return (await manager.streams.info(name)).config;
  } catch (error) {
    if (isApiError(error, [STREAM_NOT_FOUND])) return undefined;
    throw error;
  }
}

/** Replicas, ages and quotas are the operator's to change; what the record rests on is not. */
function assertKeepsTheLaws(config: Wanted, found: StreamConfig): void {
  const layout = found.metadata?.[LAYOUT_FIELD] ?? "1";
  if (layout !== String(LAYOUT)) {
    throw new UsageError(
      `stream ${config.name} has layout ${layout}, and this Palmgate reads layout ${LAYOUT}. ` +
        "Use the Palmgate that wrote it, or another nats-server.",
    );
  }
  const keepsForEver = config.name === STREAMS.members || config.name === STREAMS.keys;
  const broken = [
    config.subjects.some((subject) => !found.subjects.includes(subject)) &&
      `subjects must be ${config.subjects.join(" ")}`,
    found.storage !== StorageType.File && "storage must be file",
    found.retention !== RetentionPolicy.Limits && "retention must be limits",
    found.discard !== DiscardPolicy.New && "discard must be new",
    keepsForEver && found.max_age !== 0 && "max age must be 0",
    found.max_msgs_per_subject > 0 && "there must be no limit of messages per subject",
    found.deny_delete && "deny_delete must be false",
    !found.allow_direct && "allow_direct must be true",
    config.allow_msg_ttl === true && found.allow_msg_ttl !== true && "allow_msg_ttl must be true",
  ].filter((each) => each !== false);
  if (broken.length === 0) return;
  throw new UsageError(
    `stream ${config.name} is there with another configuration: ${broken.join("; ")}. ` +
      `Change it with 'nats stream edit ${config.name}', or use another account or server.`,
  );
}
