// Every bound that two processes must agree on, each with its unit. Bounds private to a room live in that room.

export const PROTOCOL_VERSIONS: readonly number[] = [1];

/** Version of what lies in log, buckets and folders: another one is refused. */
export const LAYOUT = 2;

export const MAX_EDGE_MESSAGE_BYTES = 256 * 1024;
export const MAX_IMAGE_SIDE_PX = 1024;
export const MIN_IMAGE_SIDE_PX = 64;
export const MAX_FRAMES_PER_PRESENTATION = 3;
export const PRESENTATION_DEADLINE_MS = 1000;
/** A PAY lane hears what became of the money at most this long after it was told "one moment". */
export const MONEY_DEADLINE_MS = 8000;
export const DECISION_VALID_MS = 2000;
export const HELLO_TIMEOUT_MS = 5000;
export const HEARTBEAT_INTERVAL_MS = 5000;
/** Frames a lane may have in flight when nothing is overloaded. */
export const CREDIT_WINDOW_FRAMES = 4;

export const PRESENTATION_ID_BYTES = 16;
export const MEMBER_ID_BYTES = 16;
export const BOOKS_REF_BYTES = 16;
export const PASSAGE_TOKEN_BYTES = 24;
export const CHALLENGE_BYTES = 32;
export const DEVICE_ID_PATTERN = /^[a-z0-9-]{1,64}$/;
/** Organisations, galleries and sites are parts of NATS subjects: letters that need no escaping there. */
export const NAME_PATTERN = /^[a-z0-9-]{1,32}$/;

export const MAX_ROWS = 8;
/** Of a row: no more than there are shards. */
export const MAX_SLOTS = 256;
/** Handles that a thread answers in round one of a search, and that it compares in round two. */
export const MAX_CANDIDATES = 64;
export const MAX_TEMPLATES_PER_MEMBER = 8;
export const MAX_AMOUNT_MINOR = 100_000_000;

/** Of matchers and gateways: how often one says that it lives, and after which silence it counts as gone. */
export const FLEET_HEARTBEAT_INTERVAL_MS = 1000;
export const FLEET_HEARTBEAT_TTL_MS = 3000;
