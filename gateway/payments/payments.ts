// Payments as the gateway runs them: the processor of the site file, the log as arbiter, and the settling of what the
// lane does not wait for.
//
// Invariants are those of pay.ts (at the lane) and settle.ts (afterwards). In addition:
// - a payment of this process is captured as soon as its granted decision is on record; another gateway's payments
//   are left to it for OTHERS_AFTER_MS;
// - what a crash left unfinished is found in the view at start and ended.
import { join } from "node:path";
import { bus } from "../../wire/codec.js";
import { fromHex, toHex } from "../../wire/partition.js";
import type { MemberDirectory } from "../members/members.js";
import type { ActRequest, ActResult, Closable, Member, ServiceDeps } from "../seams.js";
import { type PayDeps, pay } from "./pay.js";
import { openPaymentLog } from "./payment-log.js";
import type { PaymentProcessor } from "./processor.js";
import { sandboxProcessor } from "./sandbox.js";
import { settle } from "./settle.js";
import { openSettler } from "./settler.js";

/** Time left to a living gateway to end its own payments before others look at them. */
const OTHERS_AFTER_MS = 10_000;
const MAX_SWEPT_PAYMENTS = 1000;
/** Refusals remembered so that their holds are let go at once; a forgotten one is let go by its age. */
const MAX_REFUSED = 10_000;
const MAX_OWN = 10_000;

export interface Payments extends Closable {
  /** Takes one payment for one presentation: see pay.ts. */
  pay(
    memberHex: string,
    instrument: NonNullable<Member["instrument"]>,
    request: ActRequest & { charge: NonNullable<ActRequest["charge"]> },
  ): Promise<ActResult>;
  /** Payments that wait to be settled. */
  unsettled(): number;
}

export interface PaymentsDeps extends ServiceDeps {
  members: Pick<MemberDirectory, "openPayments" | "wasGranted" | "decisionsLag" | "onGranted">;
  /** In place of the site file's. */
  processor?: PaymentProcessor;
}

/** Opens the processor and starts settling. */
export async function openPayments(deps: PaymentsDeps): Promise<Payments> {
  const { members, metrics } = deps;
  // The site file knows no other processor yet; its schema refuses other names.
  const processor = deps.processor ?? sandboxProcessor({ path: join(deps.dataDir, "sandbox-ledger") });
  const log = openPaymentLog(deps.eventLog);
  const onStep = (step: bus.PaymentStep) => metrics.payment(bus.PaymentStep[step] ?? "UNKNOWN");
  const own = boundedMap<true>(MAX_OWN);
  const refusedAtUnixMs = boundedMap<number>(MAX_REFUSED);

  const settler = openSettler({
    log: deps.log,
    settle: async (presentationHex) => {
      const settled = await settle(
        {
          log,
          processor,
          onStep,
          wasGranted: members.wasGranted,
          grantsKnown: () => members.decisionsLag() === 0,
          refusedAtUnixMs: refusedAtUnixMs.get,
        },
        presentationHex,
      );
      if (settled === "SETTLED") {
        own.delete(presentationHex);
        refusedAtUnixMs.delete(presentationHex);
      }
      return settled;
    },
    unfinished: function* () {
      const oldest = Date.now() - OTHERS_AFTER_MS;
      for (const { presentationHex, atUnixMs } of members.openPayments(MAX_SWEPT_PAYMENTS)) {
        if (atUnixMs <= oldest) yield presentationHex;
      }
    },
  });
  const stopListening = members.onGranted((presentationHex) =>
    settler.add(presentationHex, own.get(presentationHex) ? 0 : OTHERS_AFTER_MS),
  );

  const payDeps: PayDeps = {
    log,
    processor,
    onStep,
    nowMs: () => performance.now(),
    settleSoon: (presentationHex) => {
      refusedAtUnixMs.set(presentationHex, Date.now());
      settler.add(presentationHex, 0);
    },
  };

  // A lane that lost its link presents again while the first attempt is still under way: it joins that one.
  const underWay = new Map<string, Promise<ActResult>>();

  return {
    pay: async (memberHex, instrument, { presentationId, site, charge, deadlineAtMs }) => {
      const presentationHex = toHex(presentationId);
      const attempt = [
        presentationHex,
        memberHex,
        site,
        charge.amountMinor,
        charge.currency,
        charge.orderRef,
      ].join("\0");
      const joined = underWay.get(attempt);
      if (joined) return joined;
      own.set(presentationHex, true);
      // Asked anew: an earlier refusal no longer stands.
      refusedAtUnixMs.delete(presentationHex);
      const paying = pay(payDeps, {
        presentationHex,
        presentationId,
        memberId: fromHex(memberHex),
        site,
        charge,
        instrument,
        deadlineAtMs,
      });
      underWay.set(attempt, paying);
      return paying.finally(() => underWay.delete(attempt));
    },
    unsettled: () => settler.waiting(),
    close: async () => {
      stopListening();
      await settler.close();
      await processor.close();
    },
  };
}

/** A map that forgets its oldest entries. */
function boundedMap<V>(maxEntries: number) {
  const entries = new Map<string, V>();
  return {
    get: (key: string) => entries.get(key),
    delete: (key: string) => entries.delete(key),
    set: (key: string, value: V) => {
      entries.set(key, value);
      const [oldest] = entries.keys();
      if (entries.size > maxEntries && oldest !== undefined) entries.delete(oldest);
    },
  };
}
