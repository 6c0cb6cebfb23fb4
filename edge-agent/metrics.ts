// What an agent shows to operators. Names are those of docs/architecture.md. Agents that run many to a process share
// one set, or go without.
//
// Invariant: no label carries a site, device, palm or presentation; every series exists from the start.
import { Counter, Gauge, Registry } from "prom-client";
import { edge } from "../wire/codec.js";
import { type CameraCounters, openCameraCounters } from "./camera/metrics.js";
import type { AgentCounters } from "./lane-agent.js";

export interface AgentMetrics extends AgentCounters {
  readonly registry: Registry;
  readonly camera: CameraCounters;
}

const namesOf = (type: Record<string, string | number>): string[] =>
  Object.keys(type).filter((name) => Number.isNaN(Number(name)) && !name.endsWith("UNSPECIFIED"));

export function openAgentMetrics(): AgentMetrics {
  const registry = new Registry();
  const registers = [registry];
  const connected = new Gauge({
    name: "palmgate_agent_connected",
    help: "1 while the link to the gateway is open",
    registers,
  });
  const counter = (name: string, help: string, label: string, values: readonly string[]) => {
    const metric = new Counter({ name, help, labelNames: [label], registers });
    for (const value of values) metric.inc({ [label]: value }, 0);
    return (value: string) => metric.inc({ [label]: value });
  };
  const frame = counter("palmgate_agent_frames_total", "Frames by what became of them", "result", [
    "sent",
    "no_credit",
    "too_large",
    "ended",
  ]);
  const decision = counter(
    "palmgate_agent_decisions_total",
    "Decisions received",
    "outcome",
    namesOf(edge.Outcome),
  );
  const gate = counter(
    "palmgate_agent_gate_total",
    "Granted decisions by what the gate did",
    "result",
    namesOf(edge.Passage).map((name) => name.toLowerCase()),
  );
  const reconnects = new Counter({
    name: "palmgate_agent_reconnects_total",
    help: "Waits for another connection to the gateway",
    registers,
  });
  const report = counter(
    "palmgate_agent_reports_total",
    "Reports of passages by what became of them",
    "result",
    ["sent", "acknowledged", "refused", "given_up"],
  );
  const passagesWaiting = new Gauge({
    name: "palmgate_agent_passages_waiting",
    help: "Passages that no gateway has acknowledged yet",
    registers,
  });
  const journal = new Gauge({
    name: "palmgate_agent_journal_up",
    help: "1 while the journal takes passages",
    registers,
  });
  journal.set(1);
  const linkError = counter("palmgate_agent_link_errors_total", "Errors received from the gateway", "code", [
    ...namesOf(edge.ErrorCode),
    "UNKNOWN",
  ]);
  return {
    registry,
    connected: (isOpen) => connected.set(isOpen ? 1 : 0),
    frame: (result) => frame(result.replaceAll(" ", "_")),
    decision: (outcome) => decision(edge.Outcome[outcome ?? 0] ?? "OUTCOME_UNSPECIFIED"),
    gate: (passage) => gate((edge.Passage[passage] ?? "").toLowerCase()),
    reconnect: () => reconnects.inc(),
    linkError,
    report,
    passagesWaiting: (count) => passagesWaiting.set(count),
    journal: (works) => journal.set(works ? 1 : 0),
    camera: openCameraCounters(registry),
  };
}
