// What was opened is closed again, last opened first: the one idiom of the house.
//
// Invariants:
// - everything deferred is closed exactly once, newest first, also when closing one of them fails;
// - a failure to close is not lost: the first one is thrown when all are closed.
export type Close = () => void | Promise<void>;

export class Disposer {
  #closes: Close[] = [];
  #closing: Promise<void> | undefined;

  /** Closes `close` with the rest. What is deferred after the disposer has closed is closed at once. */
  defer(close: Close): void {
    if (this.#closing === undefined) this.#closes.push(close);
    else this.#closing = this.#closing.then(close);
  }

  /** Closes all, newest first. Asked again, it answers with the first time's end. */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #closeAll(): Promise<void> {
    const failures: unknown[] = [];
    for (;;) {
      const close = this.#closes.pop();
      if (close === undefined) break;
      try {
        await close();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

/**
 * Runs a start that opens several things: when it fails, what it had opened is closed before the failure goes on.
 * @param start defers each close as soon as there is something to close
 */
export async function opened<T>(start: (disposer: Disposer) => Promise<T>): Promise<T> {
  const disposer = new Disposer();
  try {
    return await start(disposer);
  } catch (error) {
    // The failure to start is the one that counts.
    await disposer.close().catch(() => {});
    throw error;
  }
}
