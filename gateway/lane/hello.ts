// Who is at the other end: checks a Hello against the challenge of its connection and the directory.
//
// Invariants: the nonce is good for one connection; an unknown device and a wrong signature get the same answer.
import { verify } from "node:crypto";
import type { edge } from "../../wire/codec.js";
import type { Device } from "../../wire/directory.js";
import { publicKeyFromBase64 } from "../../wire/ed25519.js";
import { helloBytes } from "../../wire/hello.js";
import { DEVICE_ID_PATTERN, PROTOCOL_VERSIONS } from "../../wire/limits.js";

const ED25519_SIGNATURE_BYTES = 64;

export type HelloResult =
  | { ok: true; device: Device; protocolVersion: number }
  | { ok: false; code: "VERSION_UNSUPPORTED" | "UNAUTHENTICATED" };

/** @param nonce the Challenge of this connection */
export function checkHello(
  hello: edge.IHello,
  nonce: Uint8Array,
  deviceOf: (deviceId: string) => Device | undefined,
): HelloResult {
  const protocolVersion = hello.protocolVersion ?? 0;
  if (!PROTOCOL_VERSIONS.includes(protocolVersion)) return { ok: false, code: "VERSION_UNSUPPORTED" };
  const deviceId = hello.deviceId ?? "";
  const signature = hello.signature;
  const device = DEVICE_ID_PATTERN.test(deviceId) ? deviceOf(deviceId) : undefined;
  if (device === undefined || signature?.length !== ED25519_SIGNATURE_BYTES) {
    return { ok: false, code: "UNAUTHENTICATED" };
  }
  const key = publicKeyFromBase64(device.publicKey);
  return key !== undefined && verify(null, helloBytes(nonce, protocolVersion, deviceId), key, signature)
    ? { ok: true, device, protocolVersion }
    : { ok: false, code: "UNAUTHENTICATED" };
}
