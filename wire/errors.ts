// The catalogue of every coded error that leaves Palmgate: on the edge link (numbers in palmgate.proto) and in the
// API (the same names as strings, with an HTTP status). Each says whether the link survives and what to do next.
import type { edge } from "./codec.js";

export type LinkCode = Exclude<keyof typeof edge.ErrorCode, "ERROR_UNSPECIFIED">;

interface LinkError {
  /** The gateway closes the connection after sending it. */
  fatal: boolean;
  message: string;
}

export const LINK_ERRORS: Record<LinkCode, LinkError> = {
  MALFORMED: {
    fatal: true,
    message:
      "The message is not a ClientMessage. Check the agent's version and send again on a new connection.",
  },
  VERSION_UNSUPPORTED: {
    fatal: true,
    message:
      "This protocol version is not spoken here. Use one of protocol_versions: update the agent or the gateway.",
  },
  UNAUTHENTICATED: {
    fatal: true,
    message:
      "The device is unknown or its signature does not verify. Check the device id, its key and the device registry.",
  },
  HELLO_EXPECTED: {
    fatal: true,
    message: "The first message must be Hello. Reconnect and answer the Challenge first.",
  },
  HELLO_TIMEOUT: {
    fatal: true,
    message: "No Hello came in time. Reconnect and answer the Challenge at once.",
  },
  CREDIT_EXCEEDED: {
    fatal: true,
    message: "More frames than credit_limit allows. Reconnect and wait for credits.",
  },
  BUSY: {
    fatal: false,
    message: "The gateway is at its limit. Start a new presentation after retry_after_ms.",
  },
  BAD_IMAGE: {
    fatal: false,
    message: "The image does not decode to its declared size and encoding. Send another frame.",
  },
  IMAGE_TOO_LARGE: {
    fatal: false,
    message: "The image is outside the sizes told in Welcome. Resize it and start a new presentation.",
  },
  STAGE_UNSUPPORTED: {
    fatal: false,
    message: "This gateway takes cut regions of interest (stage ROI) only. Cut the palm on the agent.",
  },
  BAD_PRESENTATION: {
    fatal: false,
    message:
      "The presentation id, sequence or number of frames is wrong. Start a new presentation with a fresh id.",
  },
  PRESENTATION_CLOSED: {
    fatal: false,
    message: "This presentation has its decision already. Start a new one with a fresh id.",
  },
  CHARGE_INVALID: {
    fatal: false,
    message: "The charge is missing, malformed or changed within the presentation. Start a new presentation.",
  },
  TOKEN_INVALID: {
    fatal: false,
    message:
      "The passage token is unknown, expired or was reported before. Do not open; wait for a new decision.",
  },
  DUPLICATE_DEVICE: {
    fatal: true,
    message: "The same device connected again. If that was not you, revoke its key in the device registry.",
  },
  SHUTTING_DOWN: { fatal: true, message: "The gateway is stopping. Reconnect with backoff." },
  INTERNAL: {
    fatal: false,
    message: "The gateway failed on this message; operators see it. Start a new presentation.",
  },
};

export type ApiCode =
  | "BAD_REQUEST"
  | "UNAUTHORISED"
  | "NOT_FOUND"
  | "METHOD_NOT_ALLOWED"
  | "UNSUPPORTED_MEDIA"
  | "REQUEST_TIMEOUT"
  | "TOO_MANY_REQUESTS"
  | "KEY_REUSED"
  | "ORGANISATION_NEEDED"
  | "ORGANISATION_UNKNOWN"
  | "MEMBER_UNAVAILABLE"
  | "HISTORY_UNAVAILABLE"
  | "NOT_REFUNDABLE"
  | "TOO_LARGE"
  | "BAD_IMAGE"
  | "LOW_QUALITY"
  | "CAPTURES_DISAGREE"
  | "DUPLICATE_MEMBER"
  | "GALLERY_UNKNOWN"
  | "CARD_NUMBER_REFUSED"
  | "ERASED"
  | "CONFLICT"
  | "BUSY"
  | "STORE_FULL"
  | "LOG_UNAVAILABLE"
  | "NOT_YET_DURABLE"
  | "ERASURE_PENDING"
  | "PASS_UNKNOWN"
  | "PASS_EXPIRED"
  | "PASS_USED"
  | "PASS_WRONG_KIND"
  | "TOO_MANY_TRIES"
  | "LIMIT_REACHED"
  | "SITE_UNKNOWN"
  | "KEY_INVALID"
  | "PHONE_INVALID"
  | "CONSENT_TEXT_CHANGED"
  | "AUTHORITY_WRONG"
  | "INTERNAL";

interface ApiError {
  status: number;
  /** What the caller does next. */
  next: string;
}

export const API_ERRORS: Record<ApiCode, ApiError> = {
  BAD_REQUEST: { status: 400, next: "Correct the request body and send it again." },
  UNAUTHORISED: { status: 401, next: "Send 'Authorization: Bearer <operator token>'." },
  NOT_FOUND: { status: 404, next: "Check the path and the id." },
  METHOD_NOT_ALLOWED: { status: 405, next: "Use one of the methods in Allow." },
  UNSUPPORTED_MEDIA: {
    status: 415,
    next: "Send the content type that the API's document names for this path.",
  },
  REQUEST_TIMEOUT: { status: 408, next: "Send the request again, whole and at once." },
  TOO_MANY_REQUESTS: { status: 429, next: "Ask more slowly: go on after the seconds in Retry-After." },
  KEY_REUSED: {
    status: 409,
    next: "This Idempotency-Key was used for something else: take a new key for a new request.",
  },
  ORGANISATION_NEEDED: { status: 400, next: "Name the organisation: add ?organisation=NAME." },
  ORGANISATION_UNKNOWN: {
    status: 404,
    next: "Use an organisation that 'palmgate apply' has made, in small letters.",
  },
  MEMBER_UNAVAILABLE: {
    status: 503,
    next: "No matcher that serves this member answers: see GET /api/v1/status, then try again.",
  },
  HISTORY_UNAVAILABLE: {
    status: 503,
    next: "No ledger answers, or it has not caught up yet: try again after the seconds in Retry-After.",
  },
  NOT_REFUNDABLE: { status: 409, next: "Read the payment: only one that was captured can be refunded." },
  TOO_LARGE: { status: 413, next: "Send fewer or smaller captures." },
  BAD_IMAGE: { status: 422, next: "Take the capture again; it must decode to its declared size." },
  LOW_QUALITY: { status: 422, next: "Take the capture again with better light and a still hand." },
  CAPTURES_DISAGREE: {
    status: 422,
    next: "Take all captures again, of one and the same hand for each position.",
  },
  DUPLICATE_MEMBER: { status: 409, next: "This palm is enrolled already: erase the old enrolment first." },
  GALLERY_UNKNOWN: { status: 404, next: "Use a gallery of the organisation." },
  CARD_NUMBER_REFUSED: {
    status: 422,
    next: "Never send a card number. Send the processor's token, brand and last four digits.",
  },
  ERASED: { status: 410, next: "The member was erased; enrol anew if the person wants to." },
  CONFLICT: { status: 409, next: "Read the current state and decide again." },
  BUSY: { status: 503, next: "Try again after the seconds in Retry-After." },
  STORE_FULL: {
    status: 507,
    next: "Free disk space on the matchers or the log, then send the request again.",
  },
  LOG_UNAVAILABLE: {
    status: 503,
    next: "nats-server does not answer: check it, then send the request again.",
  },
  NOT_YET_DURABLE: {
    status: 202,
    next: "It goes on by itself: ask again, with the same Idempotency-Key or at the address in Location.",
  },
  ERASURE_PENDING: {
    status: 202,
    next: "The erasure is under way and goes on by itself: ask again for the receipt.",
  },
  PASS_UNKNOWN: { status: 404, next: "Check the code, or ask for a new pass." },
  PASS_EXPIRED: { status: 410, next: "Ask for a new pass." },
  PASS_USED: { status: 410, next: "Ask for a new pass." },
  PASS_WRONG_KIND: { status: 403, next: "Open the link that came with the pass, or ask for another pass." },
  TOO_MANY_TRIES: { status: 429, next: "Too many wrong codes were tried: try again in a minute." },
  LIMIT_REACHED: {
    status: 409,
    next: "Revoke paired devices that are gone, or wait until old passes are forgotten (a day), then try again.",
  },
  SITE_UNKNOWN: { status: 404, next: "Use a site of the organisation." },
  KEY_INVALID: { status: 422, next: "Send the raw Ed25519 public key (32 bytes) as base64." },
  PHONE_INVALID: { status: 422, next: "Send the number with '+' and country code, digits only." },
  AUTHORITY_WRONG: { status: 403, next: "Use the authority that the enrolment gave, or ask an operator." },
  CONSENT_TEXT_CHANGED: {
    status: 409,
    next: "Ask for the pass's terms again and show the person the new text.",
  },
  INTERNAL: { status: 500, next: "A bug: see the log of the process that was asked." },
};
