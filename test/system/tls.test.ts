// The edge link over TLS: the same gateway with a certificate; a lane that trusts its authority is served, another is not.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { operatorApi } from "../../cli/operator-api.js";
import type { LinkState } from "../../edge-agent/link.js";
import { openSite, present, type Site, seen } from "./support.js";

describe("the edge link over TLS", () => {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-tls-"));
  const cert = join(dir, "cert.pem");
  const key = join(dir, "key.pem");
  let site: Site;

  beforeAll(async () => {
    const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
    const args = [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-days",
      "1",
    ];
    execFileSync("openssl", [...args, "-keyout", key, "-out", cert, ...subject], { stdio: "pipe" });
    site = await openSite({
      gateways: 1,
      desks: 1,
      ledgers: 1,
      rows: 1,
      args: { gateway: ["--tls-cert", cert, "--tls-key", key], desk: ["--tls-cert", cert, "--tls-key", key] },
    });
  });
  afterAll(async () => {
    await site?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  it("serves a lane that trusts the gateway's authority", async () => {
    const gate = await site.lane("gate-1", { ca: readFileSync(cert, "utf8") });
    expect(seen(await present(gate, 1))).toMatchObject({ outcome: "NO_MATCH" });
  });

  it("is not believed by a lane that does not trust it", async () => {
    const waiting = new Promise<LinkState>((resolve) => {
      const onState = (state: LinkState) => state.phase !== "connecting" && resolve(state);
      const signal = AbortSignal.timeout(20_000);
      site.lane("gate-1", { onState, signal }).catch(() => {});
    });
    expect((await waiting).phase).toBe("waiting");
  });

  it("answers no plain HTTP", async () => {
    const plain = operatorApi(site.stack.deskUrl.replace("https", "http"), site.stack.operatorToken);
    expect(await plain.get("/api/v1/status")).toMatchObject({ ok: false, code: "NO_ANSWER" });
  });
});
