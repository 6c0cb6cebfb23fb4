// Phone numbers as E.164: "+", country code, subscriber number. Pure.
import { holdsCardNumber } from "../../wire/card-number.js";

const E164_PATTERN = /^\+[1-9]\d{6,14}$/;
/**
 * Card numbers that are short enough to pass for one (ISO/IEC 7812-1: 15 digits from 34 or 37, 14 from 30, 36, 38 or 39).
 * No country whose code begins like that has numbers so long.
 */
const SHORT_CARD_PATTERN = /^\+(3[47]\d{13}|3[0689]\d{12})$/;

export type PhoneCheck =
  | { ok: true; phone: string }
  | { ok: false; code: "PHONE_INVALID" | "CARD_NUMBER_REFUSED" };

export function checkPhone(text: string): PhoneCheck {
  if (!E164_PATTERN.test(text)) {
    return { ok: false, code: holdsCardNumber(text) ? "CARD_NUMBER_REFUSED" : "PHONE_INVALID" };
  }
  return SHORT_CARD_PATTERN.test(text) && holdsCardNumber(text)
    ? { ok: false, code: "CARD_NUMBER_REFUSED" }
    : { ok: true, phone: text };
}
