// A member's uses as the API tells them: what the ledgers keep, in words.
import { z } from "zod";
import { bus, edge } from "../../wire/codec.js";
import { toHex } from "../../wire/hex.js";

const common = { atUnixMs: z.number(), presentationId: z.string() };

export const useSchema = z.discriminatedUnion("kind", [
  z.object({
    ...common,
    kind: z.literal("decision"),
    site: z.string(),
    deviceId: z.string(),
    purpose: z.string(),
    outcome: z.string(),
    reason: z.string(),
    granted: z.boolean(),
  }),
  z.object({ ...common, kind: z.literal("passage"), passage: z.string() }),
  z.object({
    ...common,
    kind: z.literal("payment"),
    site: z.string(),
    amountMinor: z.number(),
    currency: z.string(),
    orderRef: z.string(),
    step: z.string(),
  }),
]);

export type Use = z.output<typeof useSchema>;

export const usesOf = (entries: readonly bus.HistoryEntry[]): Use[] =>
  entries.flatMap((entry) => useOf(entry) ?? []);

function useOf({ atUnixMs, decision, passage, payment }: bus.HistoryEntry): Use | undefined {
  if (decision) {
    const { presentationId, site, deviceId, purpose, outcome, reason, granted } = decision;
    return {
      kind: "decision",
      atUnixMs,
      presentationId: hexOf(presentationId),
      site: site ?? "",
      deviceId: deviceId ?? "",
      purpose: edge.Purpose[purpose ?? 0] ?? "",
      outcome: edge.Outcome[outcome ?? 0] ?? "",
      reason: edge.Reason[reason ?? 0] ?? "",
      granted: granted ?? false,
    };
  }
  if (passage) {
    const { presentationId, passage: what } = passage;
    return {
      kind: "passage",
      atUnixMs,
      presentationId: hexOf(presentationId),
      passage: edge.Passage[what ?? 0] ?? "",
    };
  }
  if (!payment) return undefined;
  const { presentationId, site, amountMinor, currency, orderRef, step } = payment;
  return {
    kind: "payment",
    atUnixMs,
    presentationId: hexOf(presentationId),
    site: site ?? "",
    amountMinor: amountMinor ?? 0,
    currency: currency ?? "",
    orderRef: orderRef ?? "",
    step: bus.PaymentStep[step ?? 0] ?? "",
  };
}

const hexOf = (bytes: Uint8Array | null | undefined): string => toHex(bytes ?? new Uint8Array());
