// ENTRY: a member who consented to entry passes.
import { edge } from "../../wire/codec.js";
import type { Act } from "../seams.js";

export const entry: Act = async (member) =>
  member.consents.has(edge.Purpose.ENTRY)
    ? { granted: true, reason: edge.Reason.WELCOME_MEMBER }
    : { granted: false, reason: edge.Reason.CONSENT_MISSING };
