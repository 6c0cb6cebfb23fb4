// The gate: whether it may open, and that it opens once.
//
// The law, kept by `mayOpen` and `GateKeeper` together:
// - only for a granted Decision with outcome MATCH, while its presentation is waited for at this lane;
// - never after valid_until on the gateway's clock, taken at the latest that this clock can be (see clock.ts), and looked
//   at once more after the passage was stored, which may take its time;
// - at most once per passage token and once per presentation, of which a gateway may grant the same again with a new
//   valid_until: both are remembered before the gate is triggered, whatever comes of it, and over restarts as long as
//   the passage is in the journal.
import { edge } from "../wire/edge-codec.js";
import { PASSAGE_TOKEN_BYTES, PRESENTATION_ID_BYTES } from "../wire/limits.js";
import type { AgentLog } from "./host.js";
import type { PassageOf, Passages } from "./passages.js";

/** Many times more than a lane can pass within the validity of a Decision. */
const MAX_PASSAGES_REMEMBERED = 4096;

export type Verdict = "OPEN" | "NOT_GRANTED" | "MALFORMED" | "SEEN" | "EXPIRED";

/** The passages that a gate has dealt with; the oldest are forgotten first, long after their Decisions have run out. */
export class PassageMemory {
  readonly #capacity: number;
  /** By presentation, with its token. */
  #passages = new Map<string, string>();
  #tokens = new Set<string>();

  constructor(capacity = MAX_PASSAGES_REMEMBERED) {
    this.#capacity = capacity;
  }

  /** Either of the two is known. */
  has({ presentationId, passageToken }: PassageOf): boolean {
    return this.#passages.has(keyOf(presentationId)) || this.#tokens.has(keyOf(passageToken));
  }

  remember({ presentationId, passageToken }: PassageOf): void {
    this.#passages.set(keyOf(presentationId), keyOf(passageToken));
    this.#tokens.add(keyOf(passageToken));
    for (const [oldest, token] of this.#passages) {
      if (this.#passages.size <= this.#capacity) break;
      this.#passages.delete(oldest);
      this.#tokens.delete(token);
    }
  }
}

const keyOf = (bytes: Uint8Array): string => bytes.join();

/** @returns undefined when the Decision names no passage of this protocol */
function passageOf({ presentationId, passageToken }: edge.Decision.$Properties): PassageOf | undefined {
  if (presentationId?.length !== PRESENTATION_ID_BYTES || passageToken?.length !== PASSAGE_TOKEN_BYTES)
    return;
  return { presentationId, passageToken };
}

/**
 * Pure: may the gate open now?
 * @param latestGatewayMs the latest that the gateway's clock can be now
 */
export function mayOpen(
  decision: edge.Decision.$Properties,
  latestGatewayMs: number,
  seen: Pick<PassageMemory, "has">,
): Verdict {
  if (!decision.granted) return "NOT_GRANTED";
  const passage = passageOf(decision);
  if (decision.outcome !== edge.Outcome.MATCH || !passage) return "MALFORMED";
  if (seen.has(passage)) return "SEEN";
  return isInTime(decision, latestGatewayMs) ? "OPEN" : "EXPIRED";
}

const isInTime = (decision: edge.Decision.$Properties, latestGatewayMs: number): boolean =>
  latestGatewayMs <= (decision.validUntilUnixMs ?? 0);

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
  /** The latest that the gateway's clock can be now. */
  latestGatewayMs: () => number;
  /** Is its person still waiting for it? */
  isWaitedFor: boolean;
  /** Is it the passage of a payment? */
  isPaid: boolean;
}

export interface GateKeeperOptions {
  gate: Gate;
  passages: Passages;
  log: AgentLog;
}

export class GateKeeper {
  readonly #options: GateKeeperOptions;
  readonly #seen = new PassageMemory();

  constructor(options: GateKeeperOptions) {
    this.#options = options;
    for (const passage of options.passages.left()) this.#seen.remember(passage);
  }

  /** Opens the gate if it may. What it did, which is recorded and reported then; `undefined`: nothing. */
  async pass(request: PassageRequest): Promise<edge.Passage | undefined> {
    const { decision, latestGatewayMs, isWaitedFor } = request;
    const verdict = mayOpen(decision, latestGatewayMs(), this.#seen);
    if (verdict === "NOT_GRANTED") return undefined;
    const of = passageOf(decision);
    if (verdict === "MALFORMED" || verdict === "SEEN" || !of) {
      this.#options.log.warn({ verdict }, "a granted decision does not open the gate");
      return undefined;
    }
    this.#seen.remember(of);
    const isLate = verdict === "EXPIRED" || !isWaitedFor;
    const passage = isLate ? edge.Passage.EXPIRED : await this.#open(of, request);
    await this.#options.passages.ended(of, passage);
    return passage;
  }

  async #open(of: PassageOf, { decision, latestGatewayMs, isPaid }: PassageRequest): Promise<edge.Passage> {
    const { gate, passages, log } = this.#options;
    if (!(await passages.opening(of, isPaid))) {
      log.error(
        {},
        "a paid passage is not opened: its record is not safe, and the one before is not acknowledged",
      );
      return edge.Passage.FAILED;
    }
    if (!isInTime(decision, latestGatewayMs())) return edge.Passage.EXPIRED;
    passages.started(of);
    const result = await gate.open(decision);
    if (result.ok) return edge.Passage.OPENED;
    log.error({ why: result.why }, "the gate failed");
    return edge.Passage.FAILED;
  }
}
