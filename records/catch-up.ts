// The one-way switch of a follower from "catching up" to "caught up".
export class CatchUp {
  /** The stream's last sequence at start; undefined until the log has told. */
  target: number | undefined;
  isDone = false;
  readonly done: Promise<void>;
  #resolve: () => void = () => {};
  #reject: (error: Error) => void = () => {};

  constructor() {
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever waits hears it; if nobody does, it is no error.
    this.done.catch(() => {});
  }

  finish(): void {
    this.isDone = true;
    this.#resolve();
  }

  abandon(): void {
    if (!this.isDone) this.#reject(new Error("the follower was stopped before it had caught up"));
  }
}
