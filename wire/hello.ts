// What a device signs to prove who it is: made here once, so that agent and gateway cannot disagree.

const PREFIX = "palmgate-hello\0";
const VERSION_BYTES = 4;

/**
 * Bytes under the Ed25519 signature of a Hello: "palmgate-hello\0" | nonce | uint32be(version) | device id.
 * @param nonce the Challenge's 32 bytes
 */
export function helloBytes(
  nonce: Uint8Array,
  protocolVersion: number,
  deviceId: string,
): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder();
  const prefix = text.encode(PREFIX);
  const device = text.encode(deviceId);
  const bytes = new Uint8Array(prefix.length + nonce.length + VERSION_BYTES + device.length);
  const versionAt = prefix.length + nonce.length;
  bytes.set(prefix);
  bytes.set(nonce, prefix.length);
  new DataView(bytes.buffer).setUint32(versionAt, protocolVersion);
  bytes.set(device, versionAt + VERSION_BYTES);
  return bytes;
}
