// Amounts as people write them, and as the wire counts them. Pure.
import { MAX_AMOUNT_MINOR } from "../../wire/limits.js";

/** Lanes of this page charge in currencies of two decimal places. */
const DECIMALS = 2;
const AMOUNT = /^(\d{1,7})(?:[.,](\d{1,2}))?$/;

/** @returns undefined when the text is no amount that can be charged */
export function minorOf(text: string): number | undefined {
  const [, whole, part = ""] = AMOUNT.exec(text.trim()) ?? [];
  if (whole === undefined) return undefined;
  const minor = Number(whole) * 10 ** DECIMALS + Number(part.padEnd(DECIMALS, "0"));
  return minor >= 1 && minor <= MAX_AMOUNT_MINOR ? minor : undefined;
}

export const amountText = (minor: number): string => (minor / 10 ** DECIMALS).toFixed(DECIMALS);
