// Every purpose that a lane can have.
import type { LanePurpose } from "../../wire/directory.js";
import { entry } from "./entry.js";
import { type PayParts, payBy } from "./pay.js";
import type { Purpose } from "./purpose.js";

export type Purposes = Record<LanePurpose, Purpose>;

export const purposesBy = (parts: PayParts): Purposes => ({ ENTRY: entry, PAY: payBy(parts) });
