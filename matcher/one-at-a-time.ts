// Runs something now, or once more after the run under way: never twice at a time, and the last call is never lost.

export interface OneAtATime {
  call(): void;
  /** Resolves when no run is under way. */
  idle(): Promise<void>;
}

/** @param act must not reject */
export function oneAtATime(act: () => Promise<void>): OneAtATime {
  let running: Promise<void> | undefined;
  let again = false;
  const loop = async () => {
    do {
      again = false;
      await act();
    } while (again);
    running = undefined;
  };
  return {
    call: () => {
      if (running) again = true;
      else running = loop();
    },
    idle: async () => await running,
  };
}
