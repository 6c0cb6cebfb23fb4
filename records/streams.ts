// The four streams of the record: how they are made, and what must hold for one that is there already.
//
// Invariants:
// - on disk, never discarded to make room: a full log refuses, it does not forget (decisions alone expire, by age);
// - messages can be deleted one by one: erasure depends on it;
// - opening is idempotent and safe when many processes do it at once: the server compares, one of them creates.
import {
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { STREAM_SUBJECTS, STREAMS } from "../wire/subjects.js";

export interface StreamOptions {
  /** Copies of each stream in a cluster of nats-servers, 1..5. */
  replicas?: number;
  /** Decisions and passages older than this leave the log. */
  maxDecisionsAgeDays?: number;
}

const DEFAULT_DECISIONS_AGE_DAYS = 90;
const DAY_MS = 24 * 60 * 60 * 1000;
/** An append repeated within this time with the same message id is stored once. */
const DUPLICATE_WINDOW_MS = 120_000;
/** JetStream answers only after it has recovered its store. */
const OPEN_DEADLINE_MS = 30_000;
const OPEN_RETRY_MS = 250;
const STREAM_EXISTS_WITH_OTHER_CONFIG = 10058;

type Wanted = Partial<StreamConfig> & Pick<StreamConfig, "name" | "subjects">;

/** Makes the streams that are missing and checks those that are there. Throws when one breaks a law of the record. */
export async function openStreams(manager: JetStreamManager, options: StreamOptions): Promise<void> {
  for (const name of Object.values(STREAMS)) await openStream(manager, wanted(name, options));
}

function wanted(name: keyof typeof STREAM_SUBJECTS, options: StreamOptions): Wanted {
  const ageDays = options.maxDecisionsAgeDays ?? DEFAULT_DECISIONS_AGE_DAYS;
  return {
    name,
    subjects: [...STREAM_SUBJECTS[name]],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.New,
    max_age: name === STREAMS.decisions ? nanos(ageDays * DAY_MS) : 0,
    duplicate_window: nanos(DUPLICATE_WINDOW_MS),
    num_replicas: options.replicas ?? 1,
    deny_delete: false,
    allow_direct: true,
  };
}

async function openStream(manager: JetStreamManager, config: Wanted): Promise<void> {
  const giveUpAtMs = Date.now() + OPEN_DEADLINE_MS;
  for (;;) {
    try {
      await manager.streams.add(config);
      return;
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === STREAM_EXISTS_WITH_OTHER_CONFIG) {
        const { config: found } = await manager.streams.info(config.name);
        return assertKeepsTheLaws(config, found);
      }
      // A coded answer is about our configuration; silence is a server that is still starting.
      if (error instanceof JetStreamApiError || Date.now() > giveUpAtMs) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, OPEN_RETRY_MS));
  }
}

/** Replicas, ages and limits are the operator's to change; what the record rests on is not. */
function assertKeepsTheLaws(config: Wanted, found: StreamConfig): void {
  const keepsForEver = config.name !== STREAMS.decisions;
  const broken = [
    config.subjects.some((subject) => !found.subjects.includes(subject)) &&
      `subjects must be ${config.subjects.join(" ")}`,
    found.storage !== StorageType.File && "storage must be file",
    found.retention !== RetentionPolicy.Limits && "retention must be limits",
    keepsForEver && found.discard !== DiscardPolicy.New && "discard must be new",
    keepsForEver && found.max_age !== 0 && "max age must be 0",
    keepsForEver && found.max_msgs_per_subject > 0 && "there must be no limit of messages per subject",
    found.deny_delete && "deny_delete must be false",
    !found.allow_direct && "allow_direct must be true",
  ].filter((each) => each !== false);
  if (broken.length === 0) return;
  throw new Error(
    `stream ${config.name} is there with another configuration: ${broken.join("; ")}. ` +
      `Change it with 'nats stream edit ${config.name}', or use another account or server.`,
  );
}
