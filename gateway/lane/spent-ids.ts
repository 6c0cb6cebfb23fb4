// Presentation ids that had their end, by device: an id is used once.
//
// Invariants:
// - bounded: of each device the last MAX_IDS_PER_DEVICE are known (an agent makes fresh random ids, so an older one
//   comes back only by replay, and a replay finds neither a new payment nor a passage: both are bound to the id);
// - one exception, for money: a PAY lane that lost its link before it read the Decision asks again with the same id
//   on its new link. The payment is idempotent by the id, so it gets the recorded answer and pays once.
import type { LanePurpose } from "../sites.js";

const MAX_IDS_PER_DEVICE = 64;

export class SpentIds {
  /** Device -> presentation id -> the connection on which it ended. */
  readonly #byDevice = new Map<string, Map<string, number>>();

  /** May this id start a presentation on this link? */
  usable(deviceId: string, idHex: string, purpose: LanePurpose, linkNumber: number): boolean {
    const endedOn = this.#byDevice.get(deviceId)?.get(idHex);
    return endedOn === undefined || (purpose === "PAY" && endedOn !== linkNumber);
  }

  /** Remembers an end. */
  spend(deviceId: string, idHex: string, linkNumber: number): void {
    let ids = this.#byDevice.get(deviceId);
    if (ids === undefined) {
      ids = new Map();
      this.#byDevice.set(deviceId, ids);
    }
    ids.delete(idHex);
    ids.set(idHex, linkNumber);
    const [oldest] = ids.keys();
    if (ids.size > MAX_IDS_PER_DEVICE && oldest !== undefined) ids.delete(oldest);
  }
}
