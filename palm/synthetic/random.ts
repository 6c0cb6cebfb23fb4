// Seeded random numbers: the same seed gives the same palm on every machine.

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  between(low: number, high: number): number;
  /** Normal, mean 0, deviation 1 (Box and Muller, 1958). */
  normal(): number;
}

/** sfc32 (Chris Doty-Humphrey's PractRand): small, fast, passes its author's battery. @param seeds mixed in order */
export function seededRandom(...seeds: readonly number[]): Random {
  let a = 0x9e3779b9;
  let b = 0x243f6a88;
  let c = 0xb7e15162;
  let counter = 1;
  const next32 = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    c |= 0;
    return sum >>> 0;
  };
  for (const seed of seeds) {
    a = (a ^ seed) | 0;
    c = (c + seed) | 0;
    for (let i = 0; i < WARM_UP_ROUNDS; i++) next32();
  }
  const next = () => next32() / 2 ** 32;
  return {
    next,
    between: (low, high) => low + (high - low) * next(),
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  };
}

const WARM_UP_ROUNDS = 12;
