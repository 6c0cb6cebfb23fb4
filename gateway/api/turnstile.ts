// Lets a bounded number in at once and a bounded number wait, first come first served; the rest is turned away.

export interface Turnstile {
  /** Resolves true when it is your turn (then leave() when done), false at once when the queue is full. */
  enter(): Promise<boolean>;
  leave(): void;
}

export function openTurnstile(maxInside: number, maxWaiting: number): Turnstile {
  let inside = 0;
  const waiting: ((entered: true) => void)[] = [];
  return {
    enter: async () => {
      if (inside < maxInside) {
        inside++;
        return true;
      }
      if (waiting.length >= maxWaiting) return false;
      return new Promise((resolve) => waiting.push(resolve));
    },
    leave: () => {
      const next = waiting.shift();
      // The place is handed over, so that nobody slips in between.
      if (next) next(true);
      else inside--;
    },
  };
}
