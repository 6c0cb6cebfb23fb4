// Lets a bounded number in at once and a bounded number wait, first come first served; the rest is turned away.

export interface Turnstile {
  /** Runs it when it is your turn. `undefined` at once when the queue is full. */
  pass<T>(run: () => Promise<T>): Promise<T | undefined>;
}

export function openTurnstile(maxInside: number, maxWaiting: number): Turnstile {
  let inside = 0;
  const waiting: (() => void)[] = [];
  const enter = async (): Promise<boolean> => {
    if (inside < maxInside) {
      inside++;
      return true;
    }
    if (waiting.length >= maxWaiting) return false;
    await new Promise<void>((resolve) => waiting.push(resolve));
    return true;
  };
  const leave = () => {
    const next = waiting.shift();
    // The place is handed over, so that nobody slips in between.
    if (next) next();
    else inside--;
  };
  return {
    pass: async (run) => {
      if (!(await enter())) return undefined;
      try {
        return await run();
      } finally {
        leave();
      }
    },
  };
}
