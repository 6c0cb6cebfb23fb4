// When to try the gateway again. Pure.
//
// Full jitter: after a gateway restart thousands of lanes must not come back in step, so each waits a uniformly
// random share of an exponentially growing ceiling (M. Brooker, "Exponential Backoff And Jitter", 2015).

export interface BackoffBounds {
  /** No retry comes sooner, whatever the dice say. */
  leastMs: number;
  /** Ceiling of the first retry; doubles with each further one. */
  firstCeilingMs: number;
  /** The ceiling grows no further. */
  mostMs: number;
}

export const RECONNECT_BACKOFF: BackoffBounds = { leastMs: 20, firstCeilingMs: 200, mostMs: 5_000 };

/** For refusals that only a person can mend: it keeps trying, so that mending on the gateway's side is enough. */
export const REFUSED_BACKOFF: BackoffBounds = { leastMs: 10_000, firstCeilingMs: 20_000, mostMs: 60_000 };

/** For passages that were reported and not acknowledged: the record may be away for a while, and the lane has time. */
export const REPORT_BACKOFF: BackoffBounds = { leastMs: 1_000, firstCeilingMs: 2_000, mostMs: 60_000 };

/**
 * @param attempt 0 for the first retry
 * @param random uniform in [0, 1)
 */
export function backoffMs(attempt: number, random: number, bounds: BackoffBounds): number {
  const { leastMs, firstCeilingMs, mostMs } = bounds;
  const ceilingMs = Math.min(mostMs, firstCeilingMs * 2 ** attempt);
  return leastMs + random * (ceilingMs - leastMs);
}
