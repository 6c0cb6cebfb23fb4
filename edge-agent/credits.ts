// How many frames the lane may still send on one connection. The limit is cumulative and only grows, so a repeated,
// late or reordered limit changes nothing (see Credit in palmgate.proto).

export class Credits {
  #limit: number;
  #sent = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get available(): number {
    return this.#limit - this.#sent;
  }

  /** Takes what the gateway told last; 0 or less than before changes nothing. */
  raise(limit: number): void {
    this.#limit = Math.max(this.#limit, limit);
  }

  /** Takes one for a frame; false: the frame must not be sent. */
  take(): boolean {
    if (this.available <= 0) return false;
    this.#sent += 1;
    return true;
  }
}
