// The document of the API: linted, whole, and true. (That every answer of every other test is in it, its support checks.)
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ANYBODY, type DeskRig, documentOf, openDeskRig, refusal, TOKEN } from "./support.js";

const REDOCLY = join(import.meta.dirname, "../../node_modules/.bin/redocly");

interface Operation {
  operationId: string;
  security: unknown[];
  tags: string[];
  requestBody?: { content: Record<string, unknown> };
}

let rig: DeskRig;
let operations: { method: string; path: string; operation: Operation }[];
beforeAll(async () => {
  rig = await openDeskRig();
  const { paths } = (await documentOf(rig.desks[0]?.url ?? "")) as unknown as {
    paths: Record<string, Record<string, Operation>>;
  };
  operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
});
afterAll(() => rig?.close());

const filled = (path: string) => path.replaceAll(/\{\w+\}/g, "0".repeat(32));

describe("the document of the API", () => {
  it("passes the linter without an error or a warning", async () => {
    const dir = mkdtempSync(join(rig.dir, "lint-"));
    const file = join(dir, "openapi.json");
    writeFileSync(join(dir, "redocly.yaml"), "extends: [recommended]\n");
    writeFileSync(file, JSON.stringify(await documentOf(rig.desks[0]?.url ?? "")));
    const { status, stdout, stderr } = spawnSync(
      REDOCLY,
      ["lint", "--config", join(dir, "redocly.yaml"), "--format", "json", file],
      {
        encoding: "utf8",
        env: { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true" },
      },
    );
    rmSync(dir, { recursive: true });
    expect(status, stderr).toBe(0);
    expect((JSON.parse(stdout) as { totals: object }).totals).toMatchObject({ errors: 0, warnings: 0 });
  });

  it("is OpenAPI 3.1, and has all that the API serves and nothing else", async () => {
    const answer = await rig.call("GET", "/api/v1/openapi.json", ANYBODY);
    expect(answer.body.openapi).toBe("3.1.0");
    expect(operations.map(({ method, path }) => `${method} ${path}`).sort()).toEqual([
      "DELETE /api/v1/devices/{deviceId}",
      "DELETE /api/v1/members/{memberId}",
      "DELETE /api/v1/passes/{passId}",
      "GET /api/v1/devices",
      "GET /api/v1/enrolments/{requestId}",
      "GET /api/v1/erasures/{memberId}",
      "GET /api/v1/members/{memberId}",
      "GET /api/v1/members/{memberId}/history",
      "GET /api/v1/openapi.json",
      "GET /api/v1/passes",
      "GET /api/v1/payments/{presentationId}",
      "GET /api/v1/receipt-key",
      "GET /api/v1/receipt-keys",
      "GET /api/v1/status",
      "POST /api/v1/enrolments",
      "POST /api/v1/erasures",
      "POST /api/v1/lanes",
      "POST /api/v1/members",
      "POST /api/v1/passes",
      "POST /api/v1/passes/terms",
      "POST /api/v1/payments/{presentationId}/refund",
      "PUT /api/v1/members/{memberId}/consents",
      "PUT /api/v1/members/{memberId}/instrument",
    ]);
    expect(new Set(operations.map(({ operation }) => operation.operationId)).size).toBe(operations.length);
  });

  it("says of each route truly who may ask, and each answers as the document says, also to nonsense", async () => {
    for (const { method, path, operation } of operations) {
      const url = filled(path);
      const isOpen = operation.security.length === 0;
      const nobody = await rig.call(method, url, ANYBODY);
      if (isOpen) expect(nobody.status, `${method} ${path}`).not.toBe(401);
      else expect(nobody, `${method} ${path}`).toMatchObject(refusal("UNAUTHORISED"));
      const asked = await rig.call(
        method,
        url,
        method === "POST" || method === "PUT" ? { body: { no: "sense" } } : {},
      );
      expect(asked.status, `${method} ${path}`).toBeLessThan(600);
      expect(asked.status, `${method} ${path}`).not.toBe(500);
      expect(asked.status, `${method} ${path}`).not.toBe(401);
    }
  });

  it("names protobuf where it is taken, and only there", async () => {
    const takers = operations.filter(
      ({ operation }) => operation.requestBody?.content["application/x-protobuf"],
    );
    expect(takers.map(({ operation }) => operation.operationId).sort()).toEqual([
      "enrolMember",
      "enrolMyself",
    ]);
    const body = Uint8Array.of(8, 1);
    const answer = await fetch(`${rig.desks[0]?.url}/api/v1/passes`, {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/x-protobuf" },
      body,
    });
    expect(answer.status).toBe(415);
  });
});
