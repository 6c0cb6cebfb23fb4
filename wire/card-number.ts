// Finds what looks like a payment card number, so that none is ever stored, sent on or logged.
//
// A number is taken for a card number when it has 13 to 19 digits (ISO/IEC 7812-1), groups of digits divided by
// spaces or dashes included, and its last digit is the right check digit (Luhn, ISO/IEC 7812-1 annex B).
// A group of digits is never cut in two: inside a longer unbroken number there is no card number. A UUID (RFC 9562) is
// none either: one in three hundred would look like one, and merchants use them as references.

const MIN_CARD_DIGITS = 13;
const MAX_CARD_DIGITS = 19;
/** Nothing that we take as a body nests deeper; what does is treated as if it held a card number. */
const MAX_NESTING_LEVELS = 16;

/** Digits with at most three spaces or dashes between two of them. */
const DIGIT_RUNS = /\d(?:[\s\p{Pd}]{0,3}\d)*/gu;

const UUIDS =
  /(?<![0-9a-z])[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}(?![0-9a-z])/giu;

/** Whether a card number stands anywhere in the text, however it is grouped. */
export function holdsCardNumber(text: string): boolean {
  // NFKC turns full-width digits and no-break spaces into the plain ones.
  for (const [run] of text.normalize("NFKC").replaceAll(UUIDS, "uuid").matchAll(DIGIT_RUNS)) {
    if (groupsHoldCardNumber(run.split(/[^\d]+/u))) return true;
  }
  return false;
}

function groupsHoldCardNumber(groups: readonly string[]): boolean {
  return groups.some((_, first) => {
    let digits = "";
    for (let last = first; last < groups.length && digits.length <= MAX_CARD_DIGITS; last++) {
      digits += groups[last];
      if (digits.length >= MIN_CARD_DIGITS && digits.length <= MAX_CARD_DIGITS && luhn(digits)) return true;
    }
    return false;
  });
}

/** Whether a card number stands anywhere in a value made of plain objects, arrays, strings and numbers, keys included. */
export function valueHoldsCardNumber(value: unknown, levels = 0): boolean {
  if (levels > MAX_NESTING_LEVELS) return true;
  if (typeof value === "string") return holdsCardNumber(value);
  if (typeof value === "number") return holdsCardNumber(String(value));
  if (value instanceof Uint8Array || typeof value !== "object" || value === null) return false;
  return Object.entries(value).some(
    ([key, each]) => holdsCardNumber(key) || valueHoldsCardNumber(each, levels + 1),
  );
}

function luhn(digits: string): boolean {
  let sum = 0;
  for (let fromRight = 0; fromRight < digits.length; fromRight++) {
    const digit = digits.charCodeAt(digits.length - 1 - fromRight) - 48;
    const doubled = fromRight % 2 === 1 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}
