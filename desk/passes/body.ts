// A JSON body of the pass API, checked against a schema. What was sent is not quoted in a refusal.
import type { z } from "zod";
import { refuse } from "../api/answer.js";
import { bad, type Checked, cardNumberRefused } from "../api/enrol-request.js";
import { valueHoldsCardNumber } from "../payments/card-number.js";

/**
 * @param random fields that hold random letters and digits, and are kept nowhere: one id in six hundred would look like a
 *   card number
 */
export function parseBody<S extends z.ZodType>(
  schema: S,
  body: Buffer,
  random: readonly string[] = [],
): Checked<z.output<S>> {
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch {
    return bad("The body is not JSON.");
  }
  const told = Object.entries(value ?? {}).filter(([name]) => !random.includes(name));
  if (valueHoldsCardNumber(Object.fromEntries(told))) return cardNumberRefused();
  const parsed = schema.safeParse(value);
  if (parsed.success) return { ok: true, value: parsed.data };
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join(".") || "body"}: ${message}`);
  return { ok: false, refused: refuse("BAD_REQUEST", problems.join("; ")) };
}
