// What the page asks of the desk: the pass's terms, the enrolment, the erasure. Every answer is checked here.
//
// Invariants: nothing is stored in the browser; a refusal carries the desk's own words, which say what to do next.
import type { GreyImage } from "../../palm/image.js";
import { bus, edge, encode } from "../../wire/codec.js";

const TERMS_PATH = "/api/v1/passes/terms";
const ENROLMENTS_PATH = "/api/v1/enrolments";
const ERASURES_PATH = "/api/v1/erasures";
/** Longer than a desk takes for anything it is asked. */
const DEADLINE_MS = 30_000;
const UNDER_WAY = "NOT_YET_DURABLE";
/** Of an enrolment: what passes by itself, an answer that never came among it. */
const GOES_ON: ReadonlySet<string> = new Set(["", UNDER_WAY, "BUSY", "LOG_UNAVAILABLE"]);
const MAX_ENROL_TRIES = 5;
const ENROL_PAUSE_MS = 1000;
/** Hand positions on the wire. */
const POSITIONS = { RIGHT: 1, LEFT: 2 } as const;

export type Purpose = "ENTRY" | "PAY";

export interface Terms {
  site: string;
  consents: Purpose[];
  title: string;
  points: { heading: string; text: string }[];
  purposes: Record<Purpose, string>;
  /** Hex; of the text above. */
  textSha256: string;
  testCards: { name: string; brand: string; last4: string; what: string }[];
}

export interface Order {
  pass: string;
  textSha256: string;
  consents: readonly Purpose[];
  phone: string;
  /** A name of the terms' list; empty: none. */
  testCard: string;
  captures: Readonly<Record<"RIGHT" | "LEFT", readonly GreyImage[]>>;
}

export interface Membership {
  memberId: string;
  /** Empty while the enrolment is not confirmed. */
  pairwiseId: string;
  /** With it, the member asks to be forgotten. */
  authority: string;
}

export type Answer<T> = { ok: true; value: T } | { ok: false; code: string; why: string };

export const askTerms = (pass: string): Promise<Answer<Terms>> =>
  ask(TERMS_PATH, JSON.stringify({ pass, kind: "ENROL" }), termsIn);

export async function enrol(order: Order): Promise<Answer<Membership>> {
  const body = encode(bus.SelfEnrolRequest, {
    pass: order.pass,
    captures: [...capturesOf(order, "RIGHT"), ...capturesOf(order, "LEFT")],
    consents: order.consents.map((purpose) => edge.Purpose[purpose]),
    consentTextSha256: fromHex(order.textSha256),
    phone: order.phone,
    testCard: order.testCard,
  });
  // One key for one enrolment: asked again, it is the same member, and takes no further use of the pass.
  const idempotencyKey = crypto.randomUUID();
  try {
    for (let tries = 1; ; tries++) {
      const isLast = tries === MAX_ENROL_TRIES;
      const read = (fields: Fields) =>
        isLast || textOf(fields.code) === "" ? membershipIn(fields) : undefined;
      const answer = await ask(ENROLMENTS_PATH, new Uint8Array(body), read, idempotencyKey);
      if (answer.ok || isLast || !GOES_ON.has(answer.code)) return answer;
      await new Promise((resolve) => setTimeout(resolve, ENROL_PAUSE_MS));
    }
  } finally {
    body.fill(0);
  }
}

/** The receipt's text. Code ERASURE_PENDING: it goes on by itself, ask again. */
export const forget = ({ memberId, authority }: Membership): Promise<Answer<string>> =>
  ask(ERASURES_PATH, JSON.stringify({ memberId, authority }), (body) => JSON.stringify(body, null, 2));

const capturesOf = ({ captures }: Order, side: keyof typeof POSITIONS): bus.ICapture[] =>
  captures[side].map(({ width, height, pixels }) => ({
    encoding: edge.Encoding.GRAY8,
    widthPx: width,
    heightPx: height,
    modality: edge.Modality.VISIBLE,
    position: POSITIONS[side],
    image: pixels,
  }));

async function ask<T>(
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  read: (body: Fields) => T | undefined,
  idempotencyKey?: string,
): Promise<Answer<T>> {
  const type = typeof body === "string" ? "application/json" : "application/x-protobuf";
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: { "content-type": type, ...(idempotencyKey ? { "idempotency-key": idempotencyKey } : {}) },
      body,
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    const fields = fieldsOf(await response.json());
    const code = textOf(fields.code);
    // 202 with a code is something that is under way and goes on by itself.
    const isDone = response.ok && (code === "" || code === UNDER_WAY);
    const value = isDone ? read(fields) : undefined;
    if (value !== undefined) return { ok: true, value };
    const why = [textOf(fields.detail), textOf(fields.next)].filter(Boolean).join(" ");
    return { ok: false, code, why: why || "The desk answered something unknown." };
  } catch {
    return { ok: false, code: "", why: "The desk did not answer. Please try again." };
  }
}

type Fields = Readonly<Record<string, unknown>>;

const fieldsOf = (value: unknown): Fields =>
  typeof value === "object" && value !== null ? Object.fromEntries(Object.entries(value)) : {};
const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const listOf = (value: unknown): Fields[] => (Array.isArray(value) ? value.map(fieldsOf) : []);

function termsIn(fields: Fields): Terms | undefined {
  const content = fieldsOf(fields.consentText);
  const purposes = fieldsOf(content.purposes);
  const given: unknown[] = Array.isArray(fields.consents) ? fields.consents : [];
  const consents = (["ENTRY", "PAY"] as const).filter((purpose) => given.includes(purpose));
  const textSha256 = textOf(fields.consentTextSha256);
  if (consents.length === 0 || !/^[0-9a-f]{64}$/.test(textSha256)) return undefined;
  return {
    site: textOf(fields.site),
    consents,
    title: textOf(content.title),
    points: listOf(content.points).map(({ heading, text }) => ({
      heading: textOf(heading),
      text: textOf(text),
    })),
    purposes: { ENTRY: textOf(purposes.ENTRY), PAY: textOf(purposes.PAY) },
    textSha256,
    testCards: listOf(fields.testCards).map(({ name, brand, last4, what }) => ({
      name: textOf(name),
      brand: textOf(brand),
      last4: textOf(last4),
      what: textOf(what),
    })),
  };
}

function membershipIn({ memberId, pairwiseId, authority }: Fields): Membership | undefined {
  const membership = {
    memberId: textOf(memberId),
    pairwiseId: textOf(pairwiseId),
    authority: textOf(authority),
  };
  return membership.memberId && membership.authority ? membership : undefined;
}

const fromHex = (hex: string): Uint8Array =>
  Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
