// The time that lanes are told (Welcome, heartbeats, valid_until): one clock for all of it, which no step of the machine's
// wall clock moves. What the record holds goes by the log's clock instead.
const startedUnixMs = Date.now() - performance.now();

export const laneUnixMs = (): number => Math.floor(startedUnixMs + performance.now());
