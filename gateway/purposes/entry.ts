// ENTRY: a member who consented to entry passes.
import { edge } from "../../wire/codec.js";
import { consents, type Purpose } from "./purpose.js";

export const entry: Purpose = {
  framesToAgree: 1,
  charges: false,
  actBudgetMs: undefined,
  act: async (member) =>
    consents(member, edge.Purpose.ENTRY)
      ? { granted: true, reason: edge.Reason.WELCOME_MEMBER }
      : { granted: false, reason: edge.Reason.CONSENT_MISSING },
};
