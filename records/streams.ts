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
const NO_ROOM_TO_RESERVE = new Set([10047, 10028, 10023]);
const LAYOUT_FIELD = "palmgate.layout";

type Wanted = Partial<StreamConfig> & Pick<StreamConfig, "name" | "subjects">;

/** Makes the streams that are missing and checks those that are there. Throws when one breaks a law of the record. */
export async function openStreams(manager: JetStreamManager, options: StreamOptions): Promise<void> {
  let share: number | undefined;
  for (const name of Object.values(STREAMS)) {
    const found = await starting(() => findStream(manager, name));
    if (found !== undefined) {
      assertKeepsTheLaws(wanted(name, options, 0), found);
      continue;
    }
    const isDefault = options.maxBytes?.[name] === undefined && DEFAULT_MAX_BYTES[name] > 0;
    if (isDefault) share ??= await starting(() => shareThatFits(manager, options));
    const maxBytes = options.maxBytes?.[name] ?? Math.floor(DEFAULT_MAX_BYTES[name] * (share ?? 1));
    await starting(() => addStream(manager, wanted(name, options, maxBytes)));
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
    await new Promise((resolve) => setTimeout(resolve, OPEN_RETRY_MS));
  }
}

/** The part of the default quotas that leaves as much room again; found by asking for it. */
async function shareThatFits(manager: JetStreamManager, { replicas = 1 }: StreamOptions): Promise<number> {
  const allBytes = ROOM_FACTOR * Object.values(DEFAULT_MAX_BYTES).reduce((sum, bytes) => sum + bytes, 0);
  const name = `PALMGATE_ROOM_${randomBytes(8).toString("hex")}`;
  for (let share = 1; share * allBytes >= LEAST_ROOM_BYTES; share /= 2) {
    try {
      const max_bytes = Math.floor(share * allBytes);
      await manager.streams.add({ name, subjects: [name], max_bytes, num_replicas: replicas });
      await manager.streams.delete(name);
      return share;
    } catch (error) {
      if (!(error instanceof JetStreamApiError && NO_ROOM_TO_RESERVE.has(error.code))) throw error;
    }
  }
  throw new UsageError(
    `nats-server has no room for the record (${LEAST_ROOM_BYTES} bytes at least). Give JetStream more (max_file_store).`,
  );
}

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

async function addStream(manager: JetStreamManager, config: Wanted): Promise<void> {
  try {
    await manager.streams.add(config);
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === STREAM_EXISTS_WITH_OTHER_CONFIG) {
      // Another process was faster, with other quotas.
      const found = await findStream(manager, config.name);
      if (found !== undefined) return assertKeepsTheLaws(config, found);
    }
    if (error instanceof JetStreamApiError && NO_ROOM_TO_RESERVE.has(error.code)) {
      throw new UsageError(
        `nats-server has no room for stream ${config.name}: ${error.message}. Give JetStream more (max_file_store).`,
      );
    }
    throw error;
  }
}

async function findStream(manager: JetStreamManager, name: string): Promise<StreamConfig | undefined> {
  try {
    return (await manager.streams.info(name)).config;
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND) return undefined;
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
