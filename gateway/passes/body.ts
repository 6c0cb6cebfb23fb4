// A JSON body of the pass API, checked against a schema. What was sent is not quoted in a refusal.
import type { z } from "zod";
import { refuse } from "../api/answer.js";
import { bad, type Checked, cardNumberRefused } from "../api/enrol-request.js";
import { valueHoldsCardNumber } from "../payments/card-number.js";

export function parseBody<S extends z.ZodType>(schema: S, body: Buffer): Checked<z.output<S>> {
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch {
    return bad("The body is not JSON.");
  }
  if (valueHoldsCardNumber(value)) return cardNumberRefused();
  const parsed = schema.safeParse(value);
  if (parsed.success) return { ok: true, value: parsed.data };
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join(".") || "body"}: ${message}`);
  return { ok: false, refused: refuse("BAD_REQUEST", problems.join("; ")) };
}
