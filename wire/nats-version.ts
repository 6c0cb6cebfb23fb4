// The oldest nats-server whose JetStream does what the record asks of it.

export const LEAST_NATS_VERSION: readonly [number, number] = [2, 11];

/** @param version e.g. "2.15.1" */
export function isNewEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [leastMajor, leastMinor] = LEAST_NATS_VERSION;
  return major > leastMajor || (major === leastMajor && minor >= leastMinor);
}
