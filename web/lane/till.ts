// The operator's side of a lane that takes payments: what the next palm pays.
//
// Invariants:
// - every presentation is an order of its own, with a reference of its own;
// - nothing is charged that nobody entered: the first amount is the operator's, and this browser remembers the last one.
import type { Charge } from "../../edge-agent/attempt.js";
import { element } from "../dom.js";
import { amountText, minorOf } from "./money.js";

const REMEMBERED_AS = "palmgate-amount";
const CURRENCY = "EUR";
const RUN_BYTES = 6;

export class Till {
  readonly #form = element("charge", HTMLFormElement);
  readonly #input = element("amount", HTMLInputElement);
  readonly #why = element("charge-why", HTMLElement);
  readonly #run = [...crypto.getRandomValues(new Uint8Array(RUN_BYTES))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
  #amountMinor: number | undefined = minorOf(localStorage.getItem(REMEMBERED_AS) ?? "");
  #orders = 0;

  /** @param onChange after each amount that is taken */
  constructor(onChange: () => void) {
    this.#input.value = this.#amountMinor === undefined ? "" : amountText(this.#amountMinor);
    element("currency", HTMLElement).textContent = CURRENCY;
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      if (this.#set()) onChange();
    };
  }

  show(): void {
    this.#form.hidden = false;
  }

  get isSet(): boolean {
    return this.#amountMinor !== undefined;
  }

  /** "4.20 EUR" */
  get text(): string {
    return `${amountText(this.#amount)} ${CURRENCY}`;
  }

  nextCharge(): Charge {
    const orderRef = `${this.#run}-${this.#orders++}`;
    return { amountMinor: this.#amount, currency: CURRENCY, orderRef };
  }

  get #amount(): number {
    if (this.#amountMinor === undefined) throw new Error("nobody has entered an amount");
    return this.#amountMinor;
  }

  #set(): boolean {
    const amountMinor = minorOf(this.#input.value);
    this.#why.textContent = amountMinor === undefined ? "Please enter an amount such as 4.20" : "";
    if (amountMinor === undefined) return false;
    this.#amountMinor = amountMinor;
    localStorage.setItem(REMEMBERED_AS, amountText(amountMinor));
    this.#input.value = amountText(amountMinor);
    this.#input.blur();
    return true;
  }
}
