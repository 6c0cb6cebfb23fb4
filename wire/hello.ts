// What a device signs to prove who it is: made here once, so that agent and gateway cannot disagree.

const PREFIX = Buffer.from("palmgate-hello\0", "utf8");

/**
 * Bytes under the Ed25519 signature of a Hello: "palmgate-hello\0" | nonce | uint32be(version) | device id.
 * @param nonce the Challenge's 32 bytes
 */
export function helloBytes(nonce: Uint8Array, protocolVersion: number, deviceId: string): Buffer {
  const version = Buffer.alloc(4);
  version.writeUInt32BE(protocolVersion);
  return Buffer.concat([PREFIX, nonce, version, Buffer.from(deviceId, "utf8")]);
}
