// How this browser becomes a lane: a pass from an operator, used once, for a key made here.
//
// Invariants:
// - the key is stored only when the desk has taken its public half; a pass is not spent in a browser that cannot
//   keep a key.
import { canKeep, type Device, type DeviceFacts, makeKey, storeDevice } from "./device.js";

const LANES_PATH = "/api/v1/lanes";
const PAIRING_DEADLINE_MS = 10_000;
const CANNOT_KEEP =
  "This browser cannot keep a device key here. Open the page in a window that is not private.";

export type Paired =
  | { ok: true; device: Device }
  /** @property why for people, with what to do */
  | { ok: false; why: string };

export async function pair(pass: string): Promise<Paired> {
  const key = await makeKey();
  if (!key) return { ok: false, why: "This browser cannot make a device key. Please update it." };
  if (!(await canKeep(key.privateKey))) return { ok: false, why: CANNOT_KEEP };
  const answer = await redeem(pass, key.publicKeyBase64);
  if (!answer.ok) return answer;
  const device = { ...answer.facts, privateKey: key.privateKey };
  await storeDevice(device);
  return { ok: true, device };
}

async function redeem(
  pass: string,
  publicKey: string,
): Promise<{ ok: true; facts: DeviceFacts } | { ok: false; why: string }> {
  try {
    const answer = await fetch(LANES_PATH, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ pass, publicKey }),
      signal: AbortSignal.timeout(PAIRING_DEADLINE_MS),
    });
    const body: unknown = await answer.json();
    const facts = answer.ok ? factsIn(body) : undefined;
    return facts ? { ok: true, facts } : { ok: false, why: whyIn(body) };
  } catch {
    return { ok: false, why: "The desk did not answer. Please try again." };
  }
}

function factsIn(body: unknown): DeviceFacts | undefined {
  const [deviceId, site, purpose, gallery] = ["deviceId", "site", "purpose", "gallery"].map((name) =>
    textIn(body, name),
  );
  if (!deviceId || !site || !purpose || !gallery) return undefined;
  return { deviceId, site, purpose, gallery };
}

/** The desk's own words: what happened, and what to do next. */
function whyIn(body: unknown): string {
  const words = [textIn(body, "detail"), textIn(body, "next")].filter((each) => each !== undefined);
  return words.length > 0 ? words.join(" ") : "The desk did not take this pass.";
}

function textIn(body: unknown, name: string): string | undefined {
  if (typeof body !== "object" || body === null) return undefined;
  const value = (body as Record<string, unknown>)[name];
  return typeof value === "string" ? value : undefined;
}
