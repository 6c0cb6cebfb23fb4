// From captures to a member: what the desk does of it. It signs the captures, checks that they agree, and puts the sealed
// intent into the log; the ledgers do the rest (ledger/enrol-saga.ts), whatever becomes of this desk.
//
// Invariants (test/desk/enrolment.test.ts):
// - one key is one enrolment: asked again, at whichever desk, it is the same member, and nothing is signed anew;
// - the same key with another body is refused; one that was refused for a passing reason goes on when asked again;
// - "ok" is said only when the saga is done: durable, and seen by every worker that serves the member's shard;
// - signatures and intents are wiped when the request ends, however it ends.
import type { SignerPool } from "../../palm/index.js";
import type { Saga, Sagas } from "../../records/index.js";
import { sealEnrolIntent } from "../../records/index.js";
import { bus, decode } from "../../wire/codec.js";
import type { DirectoryView } from "../../wire/directory.js";
import type { ApiCode } from "../../wire/errors.js";
import { toHex } from "../../wire/hex.js";
import type { Keyring } from "../../wire/keyring.js";
import { requestId } from "../idempotency.js";
import { demandGallery } from "../organisation.js";
import { refuse } from "../problem.js";
import { logged, refusalOf } from "../saga-answers.js";
import { openTurnstile } from "../turnstile.js";
import type { Capture } from "./order.js";
import { type Signed, withSigned } from "./sign.js";

const MAX_RUNNING = 8;
const MAX_WAITING = 64;
const WAIT_MS = 20_000;
/** Refusals after which the same key goes on under a new saga, so often. */
const MAX_ATTEMPTS = 16;
const PASSING: ReadonlySet<string> = new Set<ApiCode>(["BUSY", "STORE_FULL", "INTERNAL"]);

export interface EnrolOrder {
  organisation: string;
  gallery: string;
  /** The caller's to wipe. */
  captures: readonly Capture[];
  profile: bus.IProfile;
  by: "operator" | "member";
}

export interface Request {
  organisation: string;
  /** Idempotency-Key. */
  key: string;
  /** Of the body. */
  mac: Uint8Array;
}

export type Enrolment =
  | { state: "DONE"; requestId: string; memberId: string; gallery: string; templates: number }
  /** `memberId`: it will be that member, whatever happens. */
  | { state: "UNDER_WAY"; requestId: string; memberId: string | undefined };

export interface EnrollerOptions {
  sagas: Pick<Sagas, "begin" | "read" | "ended">;
  keyring: Keyring;
  directory: Pick<DirectoryView, "gallery" | "policy">;
  signers: Pick<SignerPool, "sign">;
  modelId: string;
  similarityFor(falseMatchRate: number): number;
  /** Default WAIT_MS. */
  waitMs?: number;
}

export class Enroller {
  readonly #options: EnrollerOptions;
  readonly #turnstile = openTurnstile(MAX_RUNNING, MAX_WAITING);

  constructor(options: EnrollerOptions) {
    this.#options = options;
  }

  /** How an enrolment that was begun stands. `undefined`: there is none of that id. @throws Refusal when it was refused */
  async find(organisation: string, id: string): Promise<Enrolment | undefined> {
    const saga = await logged(() => this.#options.sagas.read("enrol", organisation, id));
    return saga && this.#standing(saga);
  }

  /** Whether an enrolment under this key is under way or done. */
  async isStanding({ organisation, key }: Pick<Request, "organisation" | "key">): Promise<boolean> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const id = requestId(organisation, key, attempt);
      const saga = await logged(() => this.#options.sagas.read("enrol", organisation, id));
      if (saga?.step !== "REFUSED") return saga !== undefined;
    }
    return false;
  }

  /** Begins the enrolment, or takes part in the one of this key, and waits for its end. @throws Refusal */
  async enrol(request: Request, order: EnrolOrder): Promise<Enrolment> {
    const { sagas, waitMs = WAIT_MS } = this.#options;
    const { organisation, key, mac } = request;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const id = requestId(organisation, key, attempt);
      const found = await logged(() => sagas.read("enrol", organisation, id));
      const saga = found ?? (await this.#begin(id, mac, order));
      if (!sameBytes(saga.bodySha256, mac)) throw keyReused();
      const ended = await logged(() => sagas.ended("enrol", organisation, id, waitMs));
      const isOver = found !== undefined && ended?.step === "REFUSED" && PASSING.has(ended.code);
      if (!isOver) return this.#standing(ended ?? saga);
    }
    throw refuse("BUSY", "This enrolment was refused too often: begin it anew, under a new key.");
  }

  #standing(saga: Saga): Enrolment {
    if (saga.step === "REFUSED") throw refusalOf(saga);
    const result = decode(bus.EnrolResult, saga.result);
    const memberId = result && result.memberId.length > 0 ? toHex(result.memberId) : undefined;
    if (saga.step !== "DONE" || memberId === undefined)
      return { state: "UNDER_WAY", requestId: saga.id, memberId };
    const { gallery = "", templates = 0 } = result ?? {};
    return { state: "DONE", requestId: saga.id, memberId, gallery, templates };
  }

  async #begin(id: string, mac: Uint8Array, order: EnrolOrder): Promise<Saga> {
    const { directory, signers, similarityFor } = this.#options;
    demandGallery(directory, order.organisation, order.gallery);
    const { agreementFmr } = directory.policy(order.organisation).enrolment;
    const begun = await this.#turnstile.pass(() =>
      withSigned(order.captures, { signers, agreement: similarityFor(agreementFmr) }, (signed) =>
        this.#log(id, mac, order, signed),
      ),
    );
    if (begun === undefined) throw refuse("BUSY", "Too many enrolments are waiting.");
    return begun;
  }

  async #log(id: string, mac: Uint8Array, order: EnrolOrder, signed: readonly Signed[]): Promise<Saga> {
    const { sagas, keyring, modelId } = this.#options;
    const { organisation, gallery, profile, by } = order;
    const captures = signed.map(({ signature, position }) => ({
      modelId,
      position,
      vector: bytesOf(signature.vector),
      lines: bytesOf(signature.lines),
      codes: bytesOf(signature.codes),
    }));
    const intent = sealEnrolIntent(keyring, { organisation, id }, { gallery, captures, profile });
    if (intent === undefined) throw refuse("INTERNAL", "The organisation's key does not open here.");
    const begun = await sagas.begin({ kind: "enrol", organisation, id, by, bodySha256: mac, intent });
    if (begun.ok) return begun.saga;
    if (begun.code === "OTHER_BODY") throw keyReused();
    throw refuse(begun.code, "The event log did not take the enrolment.");
  }
}

const keyReused = () => refuse("KEY_REUSED", "This Idempotency-Key came with another body before.");

/** A view, little-endian as the machine is. */
const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | Uint32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
