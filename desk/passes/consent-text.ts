// The text that a person reads and agrees to before enrolling themselves: one file, known by its hash, which is
// recorded with the member. Another text is another hash: who agreed to which can be told for ever.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { z } from "zod";

export const consentTextSchema = z.object({
  version: z.string(),
  title: z.string(),
  points: z.array(z.object({ heading: z.string(), text: z.string() })),
  purposes: z.object({ ENTRY: z.string(), PAY: z.string() }),
});

const bytes = readFileSync(new URL("../pages/consent.json", import.meta.url));

export const consentText = {
  content: consentTextSchema.parse(JSON.parse(bytes.toString("utf8"))),
  /** Of the file's bytes. */
  sha256Hex: createHash("sha256").update(bytes).digest("hex"),
};
