// The three addresses every process serves for operators, on a port of their own: /metrics, /healthz, /readyz.
//
// Invariant: what every process shows, it shows by this file: whether it is ready, lines of its log that were dropped,
// and Node's own numbers (event loop, memory, CPU).
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { collectDefaultMetrics, Gauge, type Registry } from "prom-client";
import { UsageError } from "./config.js";
import { countDroppedLines } from "./report.js";

export interface OpsServer {
  port: number;
  close(): Promise<void>;
}

export interface OpsOptions {
  host: string;
  /** 0 picks a free port. */
  port: number;
  registry: Registry;
  /** Empty when ready; else what is missing, one line each. */
  notReady: () => string[];
}

/** Starts the server. @throws UsageError when it cannot listen there */
export async function openOpsServer({ host, port, registry, notReady }: OpsOptions): Promise<OpsServer> {
  const server = createServer((request, response) => {
    const answer = (status: number, body: string, type = "text/plain; charset=utf-8") =>
      response.writeHead(status, { "content-type": type }).end(body);
    if (request.method !== "GET") return answer(405, "use GET\n");
    if (request.url === "/healthz") return answer(200, "ok\n");
    if (request.url === "/readyz") {
      const missing = notReady();
      return missing.length === 0
        ? answer(200, "ready\n")
        : answer(503, `not ready: ${missing.join("; ")}\n`);
    }
    if (request.url === "/metrics") {
      return registry.metrics().then(
        (text) => answer(200, text, registry.contentType),
        (error: Error) => answer(500, `metrics failed: ${error.message}\n`),
      );
    }
    return answer(404, "try /metrics, /healthz or /readyz\n");
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) =>
      reject(
        new UsageError(
          `the operators' port cannot be opened: ${error.message}. Choose another with --ops-port.`,
        ),
      ),
    );
    server.listen(port, host, resolve);
  });
  showProcess(registry, notReady);
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function showProcess(registry: Registry, notReady: () => string[]): void {
  collectDefaultMetrics({ register: registry });
  countDroppedLines(registry);
  new Gauge({
    name: "palmgate_ready",
    help: "1 while /readyz says ready",
    registers: [registry],
    collect() {
      this.set(notReady().length === 0 ? 1 : 0);
    },
  });
}
