// Seeded random numbers: the same seed gives the same palm on every machine.
//
// A class, not a closure: V8 updates number fields in place, but makes a new object for each number that a closure keeps.

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  between(low: number, high: number): number;
  /** Normal, mean 0, deviation 1. */
  normal(): number;
}

/** sfc32 (Chris Doty-Humphrey's PractRand): small, fast, passes its author's battery. @param seeds mixed in order */
export function seededRandom(...seeds: readonly number[]): Random {
  return new Sfc32(seeds);
}

const WARM_UP_ROUNDS = 12;

class Sfc32 implements Random {
  #a = 0x9e3779b9 | 0;
  #b = 0x243f6a88 | 0;
  #c = 0xb7e15162 | 0;
  #counter = 1;
  #kept = 0.5;
  #hasKept = false;

  constructor(seeds: readonly number[]) {
    for (const seed of seeds) {
      this.#a = (this.#a ^ seed) | 0;
      this.#c = (this.#c + seed) | 0;
      for (let i = 0; i < WARM_UP_ROUNDS; i++) this.next();
    }
  }

  next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.next();
  }

  /** Marsaglia's polar method (1964): two numbers at a time, the second is kept for the next call. */
  normal(): number {
    if (this.#hasKept) {
      this.#hasKept = false;
      return this.#kept;
    }
    let x: number;
    let y: number;
    let square: number;
    do {
      x = 2 * this.next() - 1;
      y = 2 * this.next() - 1;
      square = x * x + y * y;
    } while (square >= 1 || square === 0);
    const stretch = Math.sqrt((-2 * Math.log(square)) / square);
    this.#kept = y * stretch;
    this.#hasKept = true;
    return x * stretch;
  }
}
