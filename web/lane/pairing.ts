// How this browser becomes a lane: a pass from an operator, used once, for a key made here.
//
// Invariants:
// - the pass comes in the address's fragment, which browsers send to nobody, and is taken out of the address at once;
// - the key is stored only when the gateway has taken its public half.
import { type Device, type DeviceFacts, makeKey, storeDevice } from "./device.js";

const LANES_PATH = "/api/lanes";
const PASS_PARAMETER = "pass";
const PAIRING_DEADLINE_MS = 10_000;

export type Paired =
  | { ok: true; device: Device }
  /** @property why for people, with what to do */
  | { ok: false; why: string };

/** The pass in the page's address, taken out of it. */
export function passInAddress(): string | undefined {
  const pass = new URLSearchParams(location.hash.slice(1)).get(PASS_PARAMETER);
  if (pass === null) return undefined;
  history.replaceState(null, "", location.pathname);
  return pass;
}

/** Reads what a person typed or pasted: the code itself, or the whole link. */
export function passIn(text: string): string {
  const [, fragment] = text.split("#", 2);
  return (fragment === undefined ? text : (new URLSearchParams(fragment).get(PASS_PARAMETER) ?? "")).trim();
}

export async function pair(pass: string): Promise<Paired> {
  const key = await makeKey();
  if (!key) return { ok: false, why: "This browser cannot keep a device key. Please update it." };
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
    return { ok: false, why: "The gateway did not answer. Please try again." };
  }
}

function factsIn(body: unknown): DeviceFacts | undefined {
  const [deviceId, site, purpose, gallery] = ["deviceId", "site", "purpose", "gallery"].map((name) =>
    textIn(body, name),
  );
  if (!deviceId || !site || !purpose || !gallery) return undefined;
  return { deviceId, site, purpose, gallery };
}

/** The gateway's own words: what happened, and what to do next. */
function whyIn(body: unknown): string {
  const words = [textIn(body, "message"), textIn(body, "next")].filter((each) => each !== undefined);
  return words.length > 0 ? words.join(" ") : "The gateway did not take this pass.";
}

function textIn(body: unknown, name: string): string | undefined {
  if (typeof body !== "object" || body === null) return undefined;
  const value = (body as Record<string, unknown>)[name];
  return typeof value === "string" ? value : undefined;
}
