// Which partition a member lives in. Fixed for the life of a gallery: the same on every machine, for ever.

/**
 * Partition of a member: the first four bytes of the random member id, big-endian, modulo the partition count.
 * Ids are uniformly random, so this spreads evenly without a further hash.
 * @param memberId 16 bytes
 * @param partitions partition count of the gallery, 1..1024
 */
export function partitionOf(memberId: Uint8Array, partitions: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = memberId;
  return (((a << 24) | (b << 16) | (c << 8) | d) >>> 0) % partitions;
}

export const toHex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
export const fromHex = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));
