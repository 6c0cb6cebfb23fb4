// PAY: the lane's charge is authorised on the instrument of a member who consented to pay by palm.
import { edge } from "../../wire/codec.js";
import type { Payments } from "../payments/payments.js";
import type { Act } from "../seams.js";

export const payWith =
  (payments: Pick<Payments, "pay">): Act =>
  async (member, request) => {
    if (!member.consents.has(edge.Purpose.PAY)) {
      return { granted: false, reason: edge.Reason.CONSENT_MISSING };
    }
    const { instrument } = member;
    if (!instrument) return { granted: false, reason: edge.Reason.INSTRUMENT_MISSING };
    const { charge } = request;
    // The lane refuses a frame without a charge before anybody is searched for: CHARGE_INVALID.
    if (!charge) throw new Error("a PAY presentation reached its act without a charge");
    return payments.pay(member.id, instrument, { ...request, charge });
  };
