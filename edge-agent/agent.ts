// One lane's agent on Node. Usable in-process: the demo and the benches run hundreds of these in one process; an agent
// is one socket and two timers while it rests.
import { type Agent, type LaneAgentOptions, startLaneAgent } from "./lane-agent.js";
import { type NodeHostOptions, nodeHost } from "./node-host.js";

export type { Agent, PresentationEnd, PresentOptions } from "./lane-agent.js";

export type AgentOptions = Omit<LaneAgentOptions, "host"> & NodeHostOptions;

/** Starts an agent and resolves when the gateway has welcomed it for the first time. */
export function startAgent({ key, ca, ...options }: AgentOptions): Promise<Agent> {
  return startLaneAgent({ ...options, host: nodeHost({ key, ca }) });
}
