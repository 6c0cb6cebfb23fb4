// The pulse of one connection: sends heartbeats, learns the gateway's clock from their echoes, and notices a half-open
// link, where nothing says that the other side is gone.
//
// Invariants:
// - the link counts as silent when a heartbeat stays without echo for echoDeadlineMs, and is then reported once;
// - echoes of heartbeats that were never sent teach nothing.
import { type GatewayClock, laneNowMs } from "./clock.js";

export interface HeartbeatOptions {
  intervalMs: number;
  echoDeadlineMs: number;
  clock: GatewayClock;
  send(sentUnixMs: number): void;
  onSilent(): void;
}

export class Heartbeats {
  readonly #options: HeartbeatOptions;
  readonly #beat: ReturnType<typeof setInterval>;
  /** Lane's clock, whole milliseconds, oldest first; as many as fit into echoDeadlineMs. */
  #unanswered: number[] = [];
  #silence: ReturnType<typeof setTimeout> | undefined;

  /** Starts with one at once: the clock is wanted before the first Decision. */
  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#beat = setInterval(() => this.#send(), options.intervalMs);
    this.#send();
  }

  /** @param gatewayMs the gateway's clock in its heartbeat */
  echoed(sentUnixMs: number, gatewayMs: number): void {
    const index = this.#unanswered.indexOf(sentUnixMs);
    if (index < 0) return;
    this.#unanswered = this.#unanswered.slice(index + 1);
    this.#options.clock.add({ sentMs: sentUnixMs, receivedMs: laneNowMs(), gatewayMs });
    clearTimeout(this.#silence);
    this.#silence = undefined;
    const oldest = this.#unanswered[0];
    if (oldest !== undefined) this.#expectEchoOf(oldest);
  }

  stop(): void {
    clearInterval(this.#beat);
    clearTimeout(this.#silence);
  }

  #send(): void {
    const sentUnixMs = Math.floor(laneNowMs());
    this.#unanswered.push(sentUnixMs);
    if (!this.#silence) this.#expectEchoOf(sentUnixMs);
    this.#options.send(sentUnixMs);
  }

  #expectEchoOf(sentUnixMs: number): void {
    const leftMs = Math.max(0, sentUnixMs + this.#options.echoDeadlineMs - laneNowMs());
    this.#silence = setTimeout(() => {
      this.stop();
      this.#options.onSilent();
    }, leftMs);
  }
}
