// The receipt of an erasure: what was destroyed, when, and who confirmed it, signed with Ed25519.
//
// Invariants:
// - the signature is over canonical JSON (keys sorted, no spaces), so that it does not hang on how a file was written;
// - nothing biometric stands in it; a field that is not known makes it malformed;
// - it is good only under a key that the verifier trusts: the receipt names a key, it does not bring one.
import { createHash, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { z } from "zod";
import { parseJson } from "../wire/json.js";
import { keySubject, memberSubject } from "../wire/subjects.js";
import type { Destruction } from "./erasure.js";

const DOMAIN = Buffer.from("palmgate-erasure-receipt\0", "utf8");
const KIND = "palmgate-erasure-receipt";

const sequences = z.array(z.int().positive());
/** Of what verifyReceipt() takes. */
export const receiptSchema = z.strictObject({
  kind: z.literal(KIND),
  version: z.literal(2),
  organisation: z.string(),
  gallery: z.string(),
  shard: z.int().nonnegative(),
  memberId: z.string().regex(/^[0-9a-f]{32}$/),
  requestedBy: z.string(),
  erasedAtUnixMs: z.int().nonnegative(),
  confirmedAtUnixMs: z.int().nonnegative(),
  /** Names of the data key: its events in stream KEYS, now destroyed. */
  dataKey: z.strictObject({ stream: z.literal("KEYS"), subject: z.string(), sequences }),
  /** The member's events that are destroyed, and the one that says so. */
  memberEvents: z.strictObject({
    stream: z.literal("MEMBERS"),
    subject: z.string(),
    sequences,
    erasedSequence: z.int().positive(),
  }),
  /** Every holder that the record named: each wiped its index and flushed its view. */
  workers: z.array(z.string()),
  signingKeyId: z.string().regex(/^[0-9a-f]{16}$/),
  /** Ed25519, base64 */
  signature: z.base64(),
});

export type Receipt = z.infer<typeof receiptSchema>;

export type ReceiptCheck =
  | { ok: true; receipt: Receipt }
  | { ok: false; code: "MALFORMED" | "UNKNOWN_KEY" | "BAD_SIGNATURE"; detail: string };

/** First 16 hex digits of the SHA-256 of the public key (SPKI, DER). */
export function signingKeyId(key: KeyObject): string {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  const der = publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(der).digest("hex").slice(0, 16);
}

export interface ReceiptFacts extends Destruction {
  /** Ids of the workers that confirmed. */
  workers: string[];
  /** When the last of them did; log's clock. */
  confirmedAtUnixMs: number;
}

/** @param privateKey Ed25519; throws on another kind */
export function signReceipt(privateKey: KeyObject, facts: ReceiptFacts): Receipt {
  if (privateKey.asymmetricKeyType !== "ed25519") throw new Error("receipts are signed with an Ed25519 key");
  const { organisation, gallery, shard, memberId, confirmedAtUnixMs } = facts;
  const unsigned = {
    kind: KIND,
    version: 2,
    organisation,
    gallery,
    shard,
    memberId,
    requestedBy: facts.requestedBy,
    erasedAtUnixMs: facts.erasedAtUnixMs,
    confirmedAtUnixMs,
    dataKey: {
      stream: "KEYS",
      subject: keySubject(shard, organisation, gallery, memberId),
      sequences: facts.keySequences,
    },
    memberEvents: {
      stream: "MEMBERS",
      subject: memberSubject(shard, organisation, gallery, memberId),
      sequences: facts.memberSequences,
      erasedSequence: facts.erasedSequence,
    },
    workers: facts.workers,
    signingKeyId: signingKeyId(privateKey),
  };
  const signature = sign(null, signedBytes(unsigned), privateKey).toString("base64");
  return receiptSchema.parse({ ...unsigned, signature });
}

/**
 * @param trusted Ed25519 public keys of the operators that the verifier trusts
 * @param receipt JSON text, or what JSON.parse made of it
 */
export function verifyReceipt(trusted: readonly KeyObject[], receipt: unknown): ReceiptCheck {
  const parsed = receiptSchema.safeParse(typeof receipt === "string" ? parseJson(receipt) : receipt);
  if (!parsed.success) {
    return { ok: false, code: "MALFORMED", detail: z.prettifyError(parsed.error) };
  }
  const { signature, ...unsigned } = parsed.data;
  const key = trusted.find((each) => signingKeyId(each) === unsigned.signingKeyId);
  if (key === undefined) {
    return { ok: false, code: "UNKNOWN_KEY", detail: `no trusted key has the id ${unsigned.signingKeyId}` };
  }
  if (!verify(null, signedBytes(unsigned), key, Buffer.from(signature, "base64"))) {
    return {
      ok: false,
      code: "BAD_SIGNATURE",
      detail: "the receipt was changed, or signed by somebody else",
    };
  }
  return { ok: true, receipt: parsed.data };
}

const signedBytes = (unsigned: Omit<Receipt, "signature"> | Record<string, unknown>) =>
  Buffer.concat([DOMAIN, Buffer.from(canonicalJson(unsigned), "utf8")]);

/** JSON with sorted keys and no spaces. Values are strings, integers, arrays and objects of these. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, each]) => `${JSON.stringify(key)}:${canonicalJson(each)}`).join(",")}}`;
}
