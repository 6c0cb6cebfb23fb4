// The cards that a person who enrols themselves may choose from: the sandbox processor's test tokens. A real card never
// comes near this API: what is sent is a name of this list.
import type { Instrument } from "../enrolment/order.js";

interface TestCard {
  token: string;
  brand: string;
  last4: string;
  /** For the person who chooses. */
  what: string;
}

export const TEST_CARDS: Readonly<Record<string, TestCard>> = {
  approve: { token: "tok_approve", brand: "visa", last4: "4242", what: "pays every time" },
  insufficient: { token: "tok_insufficient", brand: "mastercard", last4: "5100", what: "has no money on it" },
  decline: { token: "tok_decline", brand: "visa", last4: "0002", what: "is declined by its bank" },
  slow: { token: "tok_slow", brand: "visa", last4: "0044", what: "answers too late for any lane" },
};

/** `undefined`: no card of the list. */
export function testInstrument(name: string): Instrument | undefined {
  const card = Object.hasOwn(TEST_CARDS, name) ? TEST_CARDS[name] : undefined;
  return card && { processor: "sandbox", token: card.token, brand: card.brand, last4: card.last4 };
}
