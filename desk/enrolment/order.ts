// What an enrolment is asked with: JSON with base64 images, or a protobuf message; checked by one schema.
import { z } from "zod";
import { bus, decode, edge } from "../../wire/codec.js";
import { nameSchema } from "../../wire/directory-values.js";
import { MAX_IMAGE_SIDE_PX, MAX_TEMPLATES_PER_MEMBER, MIN_IMAGE_SIDE_PX } from "../../wire/limits.js";
import { refuse } from "../problem.js";

export const POSITIONS = ["UNKNOWN", "RIGHT", "LEFT"] as const;
export const PURPOSES = ["ENTRY", "PAY"] as const;

/** From JSON as base64, from protobuf as it is. */
const image = z.union([
  z.instanceof(Uint8Array),
  z.base64().transform((text) => Uint8Array.from(Buffer.from(text, "base64"))),
]);
const side = z.int().min(MIN_IMAGE_SIDE_PX).max(MAX_IMAGE_SIDE_PX);

export const captureSchema = z.object({
  encoding: z.enum(["GRAY8", "JPEG", "PNG"]),
  widthPx: side.meta({ description: "What image decodes to" }),
  heightPx: side,
  modality: z.enum(["VISIBLE", "NIR"]).default("VISIBLE"),
  position: z.enum(POSITIONS).default("UNKNOWN").meta({ description: "Which hand" }),
  image: image.meta({ description: "The region of interest, base64" }),
});

export type Capture = z.output<typeof captureSchema>;

export const purposesSchema = z
  .array(z.enum(PURPOSES))
  .refine((given) => new Set(given).size === given.length, "must name each purpose once");

export const instrumentSchema = z.object({
  processor: z.literal("sandbox"),
  token: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,128}$/, "must be 1 to 128 of A-Z, a-z, 0-9, _ and -")
    .meta({ description: "The processor's token; never a card number" }),
  brand: z.string().regex(/^[a-z0-9 -]{1,32}$/, "must be 1 to 32 of a-z, 0-9, space and -"),
  last4: z.string().regex(/^\d{4}$/, "must be four digits"),
});

export type Instrument = z.output<typeof instrumentSchema>;

const payNeedsInstrument = ({ consents, instrument }: { consents: string[]; instrument?: unknown }) =>
  !consents.includes("PAY") || instrument !== undefined;

export const enrolSchema = z
  .object({
    gallery: nameSchema,
    captures: z.array(captureSchema).min(1).max(MAX_TEMPLATES_PER_MEMBER),
    consents: purposesSchema.min(1),
    instrument: instrumentSchema.optional(),
  })
  .refine(payNeedsInstrument, { path: ["instrument"], message: "consent to PAY needs one" });

export const numbersOf = (purposes: readonly (typeof PURPOSES)[number][]): number[] =>
  purposes.map((purpose) => edge.Purpose[purpose]);

const nameOf = (names: object, number: number | null | undefined): string => {
  const entry = Object.entries(names).find(([, value]) => value === number);
  return entry?.[0] ?? "?";
};

const captureOf = ({ encoding, widthPx, heightPx, modality, position, image }: bus.ICapture) => ({
  encoding: nameOf(edge.Encoding, encoding),
  widthPx,
  heightPx,
  modality: nameOf(edge.Modality, modality),
  position: POSITIONS[position ?? 0] ?? "?",
  image: image ?? new Uint8Array(),
});

/** A bus.EnrolRequest in the shape of the JSON body. @throws Refusal */
export function enrolBodyOf(bytes: Uint8Array): unknown {
  const message = decode(bus.EnrolRequest, bytes);
  if (!message) throw refuse("BAD_REQUEST", "The body is not a protobuf EnrolRequest.");
  const { gallery, captures, consents, instrument } = message;
  return {
    gallery,
    captures: captures.map(captureOf),
    consents: consents.map((number) => nameOf(edge.Purpose, number)),
    ...(instrument ? { instrument: { ...instrument } } : {}),
  };
}

/** A bus.SelfEnrolRequest in the shape of the JSON body. @throws Refusal */
export function selfEnrolBodyOf(bytes: Uint8Array): unknown {
  const message = decode(bus.SelfEnrolRequest, bytes);
  if (!message) throw refuse("BAD_REQUEST", "The body is not a protobuf SelfEnrolRequest.");
  const { pass, captures, consents, consentTextSha256, phone, testCard } = message;
  return {
    pass,
    captures: captures.map(captureOf),
    consents: consents.map((number) => nameOf(edge.Purpose, number)),
    consentTextSha256: Buffer.from(consentTextSha256).toString("hex"),
    phone,
    ...(testCard === "" ? {} : { testCard }),
  };
}

/** Whether each image has its declared size, as far as that can be seen without decoding it. @throws Refusal */
export function checkSizes(captures: readonly Capture[]): void {
  for (const [at, { encoding, widthPx, heightPx, image }] of captures.entries()) {
    if (image.length === 0 || (encoding === "GRAY8" && image.length !== widthPx * heightPx)) {
      throw refuse("BAD_IMAGE", `captures[${at}].image does not have its declared size.`);
    }
  }
}
