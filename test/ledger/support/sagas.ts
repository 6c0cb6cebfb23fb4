// Sagas as a desk begins them, and what can be seen of them in the record.
import { createHash, randomBytes } from "node:crypto";
import { hasEnded, type Saga, sealEnrolIntent } from "../../../records/index.js";
import { bus, encode } from "../../../wire/codec.js";
import { toHex } from "../../../wire/hex.js";
import type { SagaKindName } from "../../../wire/subjects.js";
import { sagaSubject } from "../../../wire/subjects.js";
import { GALLERY, MODEL, ORGANISATION, type Rig } from "./rig.js";

export const newId = () => randomBytes(16).toString("hex");

/** Unit length, and unlike any other. */
export function newPalm(): Float32Array {
  const raw = Float32Array.from(randomBytes(MODEL.dimension), (byte) => byte - 127.5);
  const norm = Math.hypot(...raw);
  return raw.map((value) => value / norm);
}

/** The same palm, seen once more. */
export function seenAgain(palm: Float32Array): Float32Array {
  const raw = palm.map((value) => value + (Math.random() - 0.5) * 0.02);
  const norm = Math.hypot(...raw);
  return raw.map((value) => value / norm);
}

export interface EnrolOptions {
  id?: string;
  organisation?: string;
  gallery?: string;
}

/** @returns the saga's id */
export async function beginEnrol(rig: Rig, palm: Float32Array, options: EnrolOptions = {}): Promise<string> {
  const { id = newId(), organisation = ORGANISATION, gallery = GALLERY } = options;
  const captures = [palm, seenAgain(palm)].map((vector) => ({
    modelId: MODEL.modelId,
    position: 1,
    vector: new Uint8Array(vector.buffer.slice(0)),
  }));
  const plain = { gallery, captures, profile: { consents: [1] } };
  const intent = sealEnrolIntent(rig.keyring, { organisation, id }, plain);
  if (intent === undefined) throw new Error("the organisation has no key");
  await begin(rig, "enrol", id, intent, organisation);
  return id;
}

export async function beginErase(rig: Rig, memberId: Uint8Array, by = "operator"): Promise<string> {
  const id = toHex(memberId);
  const begun = await rig.sagas.begin({
    ...{ kind: "erase", organisation: ORGANISATION, id, by },
    bodySha256: new Uint8Array(32),
    intent: encode(bus.EraseIntent, { memberId, gallery: GALLERY }),
  });
  if (!begun.ok) throw new Error(`not begun: ${begun.code}`);
  return id;
}

export async function begin(
  rig: Rig,
  kind: SagaKindName,
  id: string,
  intent: Uint8Array,
  organisation = ORGANISATION,
): Promise<void> {
  const bodySha256 = createHash("sha256").update(intent).digest();
  const begun = await rig.sagas.begin({ kind, organisation, id, by: "operator", bodySha256, intent });
  if (!begun.ok) throw new Error(`not begun: ${begun.code}`);
}

export async function endOf(
  rig: Rig,
  kind: SagaKindName,
  id: string,
  withinMs = 20_000,
  organisation = ORGANISATION,
): Promise<Saga> {
  const endsAtMs = performance.now() + withinMs;
  // A server that is just starting does not answer yet.
  const ask = (): Promise<Saga | undefined> =>
    rig.sagas.ended(kind, organisation, id, endsAtMs - performance.now()).catch((error: unknown) => {
      if (performance.now() > endsAtMs) throw error;
      return ask();
    });
  const saga = await ask();
  if (saga === undefined || !hasEnded(saga)) {
    throw new Error(`${kind} ${id} has not ended within ${withinMs} ms: ${saga?.step} ${saga?.detail}`);
  }
  return saga;
}

/** Steps of a saga that are still in the log. */
export async function stepsLeft(rig: Rig, kind: SagaKindName, id: string): Promise<number> {
  return (await rig.eventLog.all("SAGAS", sagaSubject(kind, ORGANISATION, id))).length;
}
