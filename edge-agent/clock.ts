// What the gateway's clock says now, seen from the lane: bounds, not a guess.
//
// Each exchange (a message of ours, and the gateway's answer with its time in it) proves that the gateway read its
// clock between our sending and our receiving; so it bounds the offset between the clocks from both sides. This is
// the on-wire protocol of NTP (RFC 5905, section 8) kept as an interval instead of its middle.
//
// Invariants:
// - `latestMs(now)` is never before the gateway's true clock, `earliestMs(now)` never after it (while its drift stays
//   within MAX_DRIFT);
// - at most MAX_EXCHANGES are kept;
// - the lane's own clock is monotonic: setting the machine's clock neither prolongs nor ends a Decision.

/** How fast two clocks may part, as a fraction: what ntpd slews at most. */
const MAX_DRIFT = 500e-6;
const MAX_EXCHANGES = 8;
/** The gateway tells whole milliseconds: its true time lies up to this much after what it tells. */
const TOLD_RESOLUTION_MS = 1;

/** The lane's clock: milliseconds since 1970, never set back while the process runs. */
export const laneNowMs = (): number => performance.timeOrigin + performance.now();

export interface ClockExchange {
  /** Lane's clock. */
  sentMs: number;
  /** Lane's clock. */
  receivedMs: number;
  /** Gateway's clock, read between the two. */
  gatewayMs: number;
}

interface OffsetBounds {
  least: number;
  most: number;
  /** Lane's clock at which they were proven. */
  atMs: number;
}

export class GatewayClock {
  #bounds: OffsetBounds[];

  /** @param first the Hello and its Welcome */
  constructor(first: ClockExchange) {
    this.#bounds = [boundsOf(first)];
  }

  add(exchange: ClockExchange): void {
    const proven = boundsOf(exchange);
    const { least, most } = this.#offset(proven.atMs);
    // Bounds that exclude each other: one of the clocks was set. Only what was proven after that counts.
    const clockWasSet = proven.least > most || proven.most < least;
    this.#bounds = clockWasSet ? [proven] : [...this.#bounds, proven].slice(-MAX_EXCHANGES);
  }

  /** The latest that the gateway's clock can be when the lane's clock is `laneMs`. */
  latestMs(laneMs: number): number {
    return laneMs + this.#offset(laneMs).most;
  }

  /** The earliest that the gateway's clock can be when the lane's clock is `laneMs`. */
  earliestMs(laneMs: number): number {
    return laneMs + this.#offset(laneMs).least;
  }

  /** Gateway's clock minus the lane's: best guess and how far off it may be. */
  estimate(laneMs: number): { offsetMs: number; uncertaintyMs: number } {
    const { least, most } = this.#offset(laneMs);
    return { offsetMs: (least + most) / 2, uncertaintyMs: (most - least) / 2 };
  }

  #offset(laneMs: number): { least: number; most: number } {
    let least = Number.NEGATIVE_INFINITY;
    let most = Number.POSITIVE_INFINITY;
    for (const bounds of this.#bounds) {
      const driftMs = Math.max(0, laneMs - bounds.atMs) * MAX_DRIFT;
      least = Math.max(least, bounds.least - driftMs);
      most = Math.min(most, bounds.most + driftMs);
    }
    return { least, most };
  }
}

const boundsOf = ({ sentMs, receivedMs, gatewayMs }: ClockExchange): OffsetBounds => ({
  least: gatewayMs - receivedMs,
  most: gatewayMs + TOLD_RESOLUTION_MS - sentMs,
  atMs: receivedMs,
});
