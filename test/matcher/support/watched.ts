// Waits for what a watcher tells, without sleeping.

const UNTIL_DEADLINE_MS = 40_000;

export interface Watched<T> {
  push(value: T): void;
  /** The latest value once it fulfils `wanted`; rejects with the latest one after 40 s. */
  until(wanted: (value: T) => boolean): Promise<T>;
  onEach(listener: (value: T) => void): void;
}

export function watched<T>(): Watched<T> {
  let latest: { value: T } | undefined;
  const listeners = new Set<(value: T) => void>();
  return {
    push: (value) => {
      latest = { value };
      for (const listener of listeners) listener(value);
    },
    onEach: (listener) => listeners.add(listener),
    until: (wanted) =>
      new Promise((resolve, reject) => {
        const check = (value: T) => {
          if (!wanted(value)) return;
          clearTimeout(timer);
          listeners.delete(check);
          resolve(value);
        };
        const timer = setTimeout(
          () => reject(new Error(`not seen; last: ${JSON.stringify(latest?.value)}`)),
          UNTIL_DEADLINE_MS,
        );
        listeners.add(check);
        if (latest) check(latest.value);
      }),
  };
}
