// What somebody with the password of the log, and without the site's master key, could write into it.

/** A DataKey as it was before the master key was a must: field 1 the member's id, field 2 the key in the clear. */
export function unwrappedKeyEvent(memberId: Uint8Array, key: Uint8Array): Uint8Array {
  return Uint8Array.of(0x0a, memberId.length, ...memberId, 0x12, key.length, ...key);
}
