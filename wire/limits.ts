// Every bound that two processes must agree on, each with its unit. Bounds private to a room live in that room.

export const PROTOCOL_VERSIONS: readonly number[] = [1];

export const MAX_EDGE_MESSAGE_BYTES = 256 * 1024;
export const MAX_IMAGE_SIDE_PX = 1024;
export const MIN_IMAGE_SIDE_PX = 64;
export const MAX_FRAMES_PER_PRESENTATION = 3;
export const PRESENTATION_DEADLINE_MS = 1000;
/** From a Progress to the Decision about the money. */
export const MONEY_DEADLINE_MS = 8000;
export const DECISION_VALID_MS = 2000;
export const HELLO_TIMEOUT_MS = 5000;
export const HEARTBEAT_INTERVAL_MS = 5000;
/** Frames a lane may have in flight when nothing is overloaded. */
export const CREDIT_WINDOW_FRAMES = 4;

export const PRESENTATION_ID_BYTES = 16;
export const MEMBER_ID_BYTES = 16;
export const PASSAGE_TOKEN_BYTES = 24;
export const CHALLENGE_BYTES = 32;
export const DEVICE_ID_PATTERN = /^[a-z0-9-]{1,64}$/;
/** Galleries and sites are parts of NATS subjects: letters that need no escaping there. */
export const NAME_PATTERN = /^[a-z0-9-]{1,32}$/;

export const MAX_PARTITIONS = 1024;
export const MAX_REPLICAS = 8;
export const MAX_CANDIDATES = 64;
export const MAX_TEMPLATES_PER_MEMBER = 8;
export const MAX_AMOUNT_MINOR = 100_000_000;

export const WORKER_HEARTBEAT_INTERVAL_MS = 1000;
export const WORKER_HEARTBEAT_TTL_MS = 3000;
