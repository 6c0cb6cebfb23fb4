// The gate: whether it may open, and that it opens once.
//
// The law, kept by `mayOpen` and `GateKeeper` together:
// - only for a granted Decision with outcome MATCH, while its presentation is waited for at this lane;
// - never after valid_until on the gateway's clock, taken at the latest that this clock can be (see clock.ts);
// - at most once per passage token: a token is remembered before the gate is triggered, whatever comes of it.
import { edge } from "../wire/edge-codec.js";
import { PASSAGE_TOKEN_BYTES } from "../wire/limits.js";
import type { AgentLog } from "./host.js";

/** Many times more than a lane can pass within the validity of a Decision. */
const MAX_TOKENS_REMEMBERED = 4096;

export type Verdict = "OPEN" | "NOT_GRANTED" | "MALFORMED" | "TOKEN_SEEN" | "EXPIRED";

/** The tokens that a gate has dealt with; the oldest are forgotten first, long after their Decisions have run out. */
export class TokenMemory {
  readonly #capacity: number;
  #tokens = new Set<string>();

  constructor(capacity = MAX_TOKENS_REMEMBERED) {
    this.#capacity = capacity;
  }

  has(token: Uint8Array): boolean {
    return this.#tokens.has(keyOf(token));
  }

  remember(token: Uint8Array): void {
    this.#tokens.add(keyOf(token));
    for (const oldest of this.#tokens) {
      if (this.#tokens.size <= this.#capacity) break;
      this.#tokens.delete(oldest);
    }
  }
}

const keyOf = (token: Uint8Array): string => token.join();

/**
 * Pure: may the gate open now?
 * @param latestGatewayMs the latest that the gateway's clock can be now
 */
export function mayOpen(
  decision: edge.Decision.$Properties,
  latestGatewayMs: number,
  seen: Pick<TokenMemory, "has">,
): Verdict {
  if (!decision.granted) return "NOT_GRANTED";
  const token = decision.passageToken;
  if (decision.outcome !== edge.Outcome.MATCH || token?.length !== PASSAGE_TOKEN_BYTES) return "MALFORMED";
  if (seen.has(token)) return "TOKEN_SEEN";
  return latestGatewayMs <= (decision.validUntilUnixMs ?? 0) ? "OPEN" : "EXPIRED";
}

export type GateResult = { ok: true } | { ok: false; why: string };

/** What moves: a relay, a display, a command. `open` never rejects, and ends in bounded time, when the gate is shut. */
export interface Gate {
  open(decision: edge.Decision.$Properties): Promise<GateResult>;
  /** The lane ends: what is open is shut now, and nothing opens any more. */
  shut?(): Promise<void>;
}

/** For lanes that are simulated: whoever gets the Decision is the gate. */
export const noGate: Gate = { open: async () => ({ ok: true }) };

export interface PassageRequest {
  decision: edge.Decision.$Properties;
  /** Now, at the latest. */
  latestGatewayMs: number;
  /** Is its person still waiting for it? */
  isWaitedFor: boolean;
}

export class GateKeeper {
  readonly #gate: Gate;
  readonly #log: AgentLog;
  readonly #seen = new TokenMemory();

  constructor(gate: Gate, log: AgentLog) {
    this.#gate = gate;
    this.#log = log;
  }

  /** Opens the gate if it may. What to report to the gateway; `undefined`: nothing. */
  async pass({ decision, latestGatewayMs, isWaitedFor }: PassageRequest): Promise<edge.Passage | undefined> {
    const verdict = mayOpen(decision, latestGatewayMs, this.#seen);
    if (verdict === "NOT_GRANTED") return undefined;
    if (verdict === "MALFORMED" || verdict === "TOKEN_SEEN") {
      this.#log.warn({ verdict }, "a granted decision does not open the gate");
      return undefined;
    }
    if (decision.passageToken) this.#seen.remember(decision.passageToken);
    if (verdict === "EXPIRED" || !isWaitedFor) return edge.Passage.EXPIRED;
    const result = await this.#gate.open(decision);
    if (result.ok) return edge.Passage.OPENED;
    this.#log.error({ why: result.why }, "the gate failed");
    return edge.Passage.FAILED;
  }
}
