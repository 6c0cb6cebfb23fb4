// What gates did with granted decisions, brought into the log: once for each presentation, whichever gateway hears of it
// and however often.
//
// Invariants:
// - a report counts with a token that some gateway of the fleet made for this device and presentation;
// - it is acknowledged only when the log has a passage of that presentation; the first one stays;
// - nothing waits here: a report that cannot be stored now is not acknowledged, and the lane reports again.
import { LogUnavailableError } from "../../records/event.js";
import type { EventLog } from "../../records/log.js";
import { bus, decode, type edge, encode } from "../../wire/codec.js";
import type { Device } from "../../wire/directory.js";
import { toHex } from "../../wire/hex.js";
import type { Keyring } from "../../wire/keyring.js";
import { PRESENTATION_ID_BYTES } from "../../wire/limits.js";
import { readPassageToken } from "../../wire/passage-token.js";
import { decisionSubject, passageSubject, STREAMS } from "../../wire/subjects.js";

/** Decisions leave the log some time: a report from before that has nothing to belong to. */
const MAX_REPORT_AGE_MS = 30 * 24 * 60 * 60 * 1000;
/** Reports being stored at once; a further one is not acknowledged, and comes again. */
const MAX_REPORTS_IN_FLIGHT = 256;
/** Grants of this gateway whose person is remembered until the gate's report comes. */
const MAX_REMEMBERED = 4096;

/** RECORDED: stored now. KNOWN: there was one before; it stays. Both are acknowledged. */
export type ReportAnswer = "RECORDED" | "KNOWN" | "TOKEN_INVALID" | "NOT_NOW";

interface Granted {
  site: string;
  booksRef: Uint8Array;
}

export interface PassagesParts {
  eventLog: Pick<EventLog, "append" | "last">;
  keyring: Pick<Keyring, "busKey">;
  /** The log's clock. */
  nowUnixMs(): number;
}

export class Passages {
  readonly #parts: PassagesParts;
  readonly #granted = new Map<string, Granted>();
  #inFlight = 0;

  constructor(parts: PassagesParts) {
    this.#parts = parts;
  }

  /** Remembers whose passage will be reported, so that it need not be read from the log. */
  expect(deviceId: string, presentationHex: string, granted: Granted): void {
    this.#granted.set(`${deviceId}/${presentationHex}`, granted);
    const [oldest] = this.#granted.keys();
    if (this.#granted.size > MAX_REMEMBERED && oldest !== undefined) this.#granted.delete(oldest);
  }

  /** Never rejects for an expected failure. Keeps no view on the report. */
  async report(
    device: Device,
    { presentationId, passageToken, passage }: edge.GateReport,
  ): Promise<ReportAnswer> {
    const { keyring, nowUnixMs } = this.#parts;
    if (presentationId.length !== PRESENTATION_ID_BYTES) return "TOKEN_INVALID";
    const place = {
      organisation: device.organisation,
      deviceId: device.id,
      presentationId: presentationId.slice(),
    };
    const madeUnixMs = readPassageToken(keyring.busKey("passage", device.organisation), place, passageToken);
    if (madeUnixMs === undefined || nowUnixMs() - madeUnixMs > MAX_REPORT_AGE_MS) return "TOKEN_INVALID";
    if (this.#inFlight >= MAX_REPORTS_IN_FLIGHT) return "NOT_NOW";
    this.#inFlight += 1;
    try {
      return await this.#store(place, passage);
    } catch (error) {
      if (error instanceof LogUnavailableError) return "NOT_NOW";
      throw error;
    } finally {
      this.#inFlight -= 1;
    }
  }

  async #store(
    {
      organisation,
      deviceId,
      presentationId,
    }: { organisation: string; deviceId: string; presentationId: Uint8Array },
    passage: edge.Passage,
  ): Promise<ReportAnswer> {
    const presentationHex = toHex(presentationId);
    const key = `${deviceId}/${presentationHex}`;
    const granted = this.#granted.get(key) ?? (await this.#find(organisation, deviceId, presentationHex));
    // A token is made of a grant that is in the log: it is there no more.
    if (granted === undefined) return "TOKEN_INVALID";
    const { site, booksRef } = granted;
    const body = encode(bus.PassageEvent, {
      atUnixMs: this.#parts.nowUnixMs(),
      presentationId,
      passage,
      booksRef,
    });
    const subject = passageSubject(organisation, site, deviceId, presentationHex);
    const appended = await this.#parts.eventLog.append(subject, body, { expectedSubjectSequence: 0 });
    if (!appended.ok && appended.code !== "CONFLICT") return "NOT_NOW";
    this.#granted.delete(key);
    return appended.ok ? "RECORDED" : "KNOWN";
  }

  /** The site is the decision's: the device may stand elsewhere by now. */
  async #find(organisation: string, deviceId: string, presentationHex: string): Promise<Granted | undefined> {
    const subject = decisionSubject(organisation, "*", deviceId, presentationHex);
    const last = await this.#parts.eventLog.last(STREAMS.decisions, subject);
    const decided = last && decode(bus.DecisionEvent, last.body);
    return decided && { site: decided.site, booksRef: decided.booksRef };
  }
}
