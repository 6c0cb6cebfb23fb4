// A gate that some wait at: shut until somebody opens it, once and for all.
export class Gate {
  readonly opened: Promise<void>;
  open: () => void = () => {};

  constructor() {
    this.opened = new Promise((resolve) => {
      this.open = () => resolve();
    });
  }
}
