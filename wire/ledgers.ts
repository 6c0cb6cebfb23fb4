// Ledgers as others hear of them: who leads, and what of the work that is done once is not done yet.
import type { NatsConnection } from "@nats-io/transport-node";
import { z } from "zod";
import { type HeartbeatWatch, openAnnouncer, watchHeartbeats } from "./heartbeat.js";
import { parseJson } from "./json.js";
import type { Log } from "./log.js";
import { BUCKETS } from "./subjects.js";

const count = z.int().nonnegative();

const sagasState = z.object({
  open: count,
  /** Of the oldest open one, since it began; 0 when none is open. */
  oldestMs: count,
});

const ledgerState = z.object({
  id: z.string().min(1),
  /** Of this life of the process. */
  instance: z.string(),
  leads: z.boolean(),
  sagas: z.object({ enrol: sagasState, erase: sagasState, refund: sagasState }),
  payments: z.object({
    /** Not at their end. */
    open: count,
    /** Since the one that has waited longest beyond its time was tried first; 0 when none waits so. */
    oldestMs: count,
  }),
  /** What was tried in vain, the most often tried first; a few of them. */
  pending: z.array(
    z.object({
      kind: z.enum(["enrol", "erase", "refund", "settle"]),
      organisation: z.string(),
      /** Of the saga, or of the presentation. */
      id: z.string(),
      tries: count,
      /** What it waits for. */
      detail: z.string(),
    }),
  ),
  /** Empty when ready; else what is missing, one line each. */
  notReady: z.array(z.string()),
});

export type LedgerState = z.output<typeof ledgerState>;

/** `onChange` gets all that are alive: once when all have been heard, and after every change. */
export function watchLedgers(
  nc: NatsConnection,
  onChange: (ledgers: LedgerState[]) => void,
  log: Log,
): HeartbeatWatch<LedgerState> {
  return watchHeartbeats(nc, {
    bucket: BUCKETS.ledgers,
    what: "ledger",
    log,
    read: (id, value) => {
      const parsed = ledgerState.safeParse(parseJson(value));
      return parsed.success && parsed.data.id === id ? parsed.data : undefined;
    },
    onChange: (alive) => onChange([...alive.values()]),
  });
}

/** A ledger's voice. */
export interface LedgerAnnouncer {
  say(state: LedgerState): Promise<boolean>;
  leave(ledgerId: string): Promise<boolean>;
}

export function openLedgerAnnouncer(nc: NatsConnection, log: Log): LedgerAnnouncer {
  const announcer = openAnnouncer(nc, BUCKETS.ledgers, log);
  return {
    say: (state) => announcer.say(state.id, Buffer.from(JSON.stringify(state))),
    leave: (ledgerId) => announcer.leave(ledgerId),
  };
}
