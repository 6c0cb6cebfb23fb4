// Every number the desk shows to operators. Names are those of docs/architecture.md.
//
// Invariant: no label carries an organisation, a member or a path with an id in it: the number of series is fixed.
import { Counter, Gauge, Registry } from "prom-client";

const PASS_RESULTS = ["issued", "taken", "returned", "refused", "throttled"] as const;
/** taken: a use went; returned: given back, as what it was for was refused; throttled: too many wrong codes before it. */
export type PassResult = (typeof PASS_RESULTS)[number];

export const HANDOFF_RESULTS = ["handed", "no_gateway"] as const;
export type HandoffResult = (typeof HANDOFF_RESULTS)[number];

/** Values that are read when Prometheus asks. */
export interface GaugeSources {
  signers(): { queued: number; busy: number };
  viewers(): number;
  links(): number;
}

export interface DeskMetrics {
  readonly registry: Registry;
  /** @param route a route's pattern, never a path with an id in it */
  apiRequest(route: string, status: number): void;
  pass(result: PassResult): void;
  handoff(result: HandoffResult): void;
  /** Binds the gauges to what they show. Once, when everything is open. */
  observe(sources: GaugeSources): void;
}

export function openMetrics(): DeskMetrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[]) =>
    new Counter({ name: `palmgate_${name}`, help, labelNames, registers });
  const apiRequests = counter("api_requests_total", "API requests", ["route", "status"]);
  const passes = counter("passes_total", "Passes by what became of them", ["result"]);
  const handoffs = counter("link_handoffs_total", "Upgrades of /link handed on to a gateway", ["result"]);
  for (const result of PASS_RESULTS) passes.labels(result).inc(0);
  for (const result of HANDOFF_RESULTS) handoffs.labels(result).inc(0);
  return {
    registry,
    apiRequest: (route, status) => apiRequests.labels(route, String(status)).inc(),
    pass: (result) => passes.labels(result).inc(),
    handoff: (result) => handoffs.labels(result).inc(),
    observe: (sources) => registerGauges(registers, sources),
  };
}

function registerGauges(registers: Registry[], sources: GaugeSources): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `palmgate_${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  gauge("signer_queue", "Captures waiting for a signer thread", () => sources.signers().queued);
  gauge("signer_busy", "Signer threads at work", () => sources.signers().busy);
  gauge("desk_viewers", "Live pages that are watched", sources.viewers);
  gauge("desk_links", "Lanes linked to a gateway through this desk", sources.links);
}
