// A sign that does not flicker: what is shown changes only when something else has been true for a while. Pure.

export class Steady<T> {
  readonly #lastsMs: number;
  #shown: T;
  #next: { value: T; sinceMs: number } | undefined;

  /** @param lastsMs how long a value must hold before it is shown */
  constructor(first: T, lastsMs: number) {
    this.#shown = first;
    this.#lastsMs = lastsMs;
  }

  get shown(): T {
    return this.#shown;
  }

  /** @returns what to show now */
  take(value: T, nowMs: number): T {
    if (value === this.#shown) this.#next = undefined;
    else if (value !== this.#next?.value) this.#next = { value, sinceMs: nowMs };
    if (this.#next && nowMs - this.#next.sinceMs >= this.#lastsMs) this.set(this.#next.value);
    return this.#shown;
  }

  /** Shows it at once. */
  set(value: T): void {
    this.#shown = value;
    this.#next = undefined;
  }
}
