// What each purpose does for a recognised member: one act per purpose, and no other way to be granted anything.
import { edge } from "../../wire/codec.js";
import type { Payments } from "../payments/payments.js";
import type { ActsByPurpose } from "../seams.js";
import { entry } from "./entry.js";
import { payWith } from "./pay.js";

export const actsByPurpose = (deps: { payments: Pick<Payments, "pay"> }): ActsByPurpose => ({
  [edge.Purpose.ENTRY]: entry,
  [edge.Purpose.PAY]: payWith(deps.payments),
});
