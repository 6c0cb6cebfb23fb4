// The operator's side of a lane that takes payments: what the next palm pays.
//
// Invariant: every presentation is an order of its own, with a reference of its own.
import type { Charge } from "../../edge-agent/presentation.js";
import { element } from "../dom.js";
import { amountText, minorOf } from "./money.js";

const FIRST_AMOUNT_MINOR = 420;
const CURRENCY = "EUR";
const RUN_BYTES = 6;

export class Till {
  readonly #form = element("charge", HTMLFormElement);
  readonly #input = element("amount", HTMLInputElement);
  readonly #why = element("charge-why", HTMLElement);
  readonly #run = [...crypto.getRandomValues(new Uint8Array(RUN_BYTES))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
  #amountMinor = FIRST_AMOUNT_MINOR;
  #orders = 0;

  constructor(onChange: () => void) {
    this.#input.value = amountText(this.#amountMinor);
    element("currency", HTMLElement).textContent = CURRENCY;
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      this.#set();
      onChange();
    };
  }

  show(): void {
    this.#form.hidden = false;
  }

  /** "4.20 EUR" */
  get text(): string {
    return `${amountText(this.#amountMinor)} ${CURRENCY}`;
  }

  nextCharge(): Charge {
    const orderRef = `${this.#run}-${this.#orders++}`;
    return { amountMinor: this.#amountMinor, currency: CURRENCY, orderRef };
  }

  #set(): void {
    const amountMinor = minorOf(this.#input.value);
    this.#why.textContent = amountMinor === undefined ? "Please enter an amount such as 4.20" : "";
    if (amountMinor === undefined) return;
    this.#amountMinor = amountMinor;
    this.#input.value = amountText(amountMinor);
    this.#input.blur();
  }
}
