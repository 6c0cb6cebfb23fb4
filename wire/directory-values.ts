// What stands in the directory: organisations and what belongs to them. The schemas are the one source of the types.
import { z } from "zod";
import { publicKeyFromBase64 } from "./ed25519.js";
import { DEVICE_ID_PATTERN, MAX_ROWS, MAX_SLOTS, NAME_PATTERN } from "./limits.js";

export const nameSchema = z.string().regex(NAME_PATTERN, "must be 1 to 32 of a-z, 0-9 and -");
export const deviceIdSchema = z.string().regex(DEVICE_ID_PATTERN, "must be 1 to 64 of a-z, 0-9 and -");
export const purposeSchema = z.enum(["ENTRY", "PAY"]);
export const publicKeySchema = z
  .string()
  .refine(
    (text) => publicKeyFromBase64(text) !== undefined,
    "must be the base64 of a raw Ed25519 key (32 bytes)",
  );
const keyId = z.string().regex(/^[0-9a-f]{16}$/, "must be 16 hex digits");

export const fleetSchema = z.strictObject({
  layout: z.int(),
  /** Rows of slots: replicas of everything. */
  rows: z.int().min(1).max(MAX_ROWS),
  /** Of a row. */
  slots: z.int().min(1).max(MAX_SLOTS),
});

export const organisationSchema = z.strictObject({
  name: nameSchema,
  /** Newest last. */
  keys: z
    .array(z.strictObject({ id: keyId, masterKeyId: keyId, nonce: z.base64(), ciphertext: z.base64() }))
    .min(1),
});

export const gallerySchema = z.strictObject({
  organisation: nameSchema,
  name: nameSchema,
  modelId: z.string().min(1),
  /** Numbers in the vector of that model's signatures. */
  dimension: z.int().min(1).max(65_536),
  /** That model's signatures have line maps. */
  lineMaps: z.boolean(),
});

const DEFAULT_REPORT_WITHIN_MS = 60_000;
const MAX_REPORT_WITHIN_MS = 24 * 60 * 60 * 1000;
/** The rule for money of a site, as people write it. */
export const siteRuleShape = {
  /** A passage that is not reported within this is unreported. */
  reportWithinMs: z.int().min(1000).max(MAX_REPORT_WITHIN_MS).default(DEFAULT_REPORT_WITHIN_MS),
  /** What becomes of money that was held for an unreported passage. */
  unreported: z.enum(["void", "capture"]).default("void"),
};

export const siteSchema = z.strictObject({ organisation: nameSchema, name: nameSchema, ...siteRuleShape });

export const deviceSchema = z.strictObject({
  organisation: nameSchema,
  /** Unique in the fleet. */
  id: deviceIdSchema,
  /** base64 of the raw Ed25519 key */
  publicKey: publicKeySchema,
  site: nameSchema,
  purpose: purposeSchema,
  gallery: nameSchema,
  /** Of one that paired itself with a pass. */
  pairedAtUnixMs: z.number().optional(),
});

const rate = z.number().gt(0).lte(0.1);
const purposePolicy = z.strictObject({
  /** Wanted rate of presentations of unknown palms that end with somebody's name. */
  targetFpir: rate,
});

export const policyShape = {
  ENTRY: purposePolicy.prefault({ targetFpir: 1e-3 }),
  PAY: purposePolicy.prefault({ targetFpir: 1e-4 }),
  /** Similarity by which the best member must lead the second, else AMBIGUOUS. */
  ambiguityMargin: z.number().min(0).max(1).default(0.02),
  enrolment: z
    .strictObject({
      /** Wanted rate of wrong "this palm is enrolled already" answers. */
      duplicateFpir: rate.default(1e-4),
      /** Captures of one hand must agree as if this false match rate were wanted. */
      agreementFmr: rate.default(1e-2),
    })
    .prefault({}),
  processor: z.enum(["sandbox"]).default("sandbox"),
};

export const policySchema = z.strictObject({ organisation: nameSchema, ...policyShape });

export const receiptKeySchema = z.strictObject({
  keyId,
  /** base64 of the raw Ed25519 key */
  publicKey: publicKeySchema,
  /** The private half, PKCS8 DER, sealed under busKey("receipt", ""). */
  sealed: z.strictObject({ nonce: z.base64(), ciphertext: z.base64() }),
});
/** Newest last. */
export const receiptKeysSchema = z.array(receiptKeySchema);

export type Fleet = z.output<typeof fleetSchema>;
export type Organisation = z.output<typeof organisationSchema>;
export type Gallery = z.output<typeof gallerySchema>;
export type Site = z.output<typeof siteSchema>;
export type Device = z.output<typeof deviceSchema>;
export type LanePurpose = Device["purpose"];
export type Policy = z.output<typeof policySchema>;
export type ReceiptKey = z.output<typeof receiptKeySchema>;

/** Keys of the bucket. */
export const directoryKey = {
  fleet: "fleet",
  receiptKeys: "receipt-keys",
  organisation: (name: string) => `organisation.${name}`,
  gallery: (organisation: string, name: string) => `gallery.${organisation}.${name}`,
  site: (organisation: string, name: string) => `site.${organisation}.${name}`,
  device: (id: string) => `device.${id}`,
  policy: (organisation: string) => `policy.${organisation}`,
} as const;

/** What holds for an organisation that has said nothing. */
export const defaultPolicy = (organisation: string): Policy => policySchema.parse({ organisation });

/** A site that the directory does not know: its passages are still reported, and its money is still settled. */
export const defaultSite = (organisation: string, name: string): Site =>
  siteSchema.parse({ organisation, name });
