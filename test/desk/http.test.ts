// The web server of the desk by itself: who may ask, how much may come, how it says no, and what is left behind.
import type { IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { clientAddress, openAccess } from "../../desk/access.js";
import { type AppOptions, openApp } from "../../desk/app.js";
import type { App } from "../../desk/fastify.js";
import { refuse } from "../../desk/problem.js";
import { Throttle } from "../../desk/throttle.js";
import { openTurnstile } from "../../desk/turnstile.js";
import type { Log } from "../../wire/log.js";

const MIB = 1024 * 1024;
const TOKEN = "operator-token-of-this-test";
const OPERATOR = { authorization: `Bearer ${TOKEN}` };
const JSON_TYPE = { "content-type": "application/json" };

const apps: App[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(apps.splice(0).map((app) => app.close()));
});

interface Served {
  app: App;
  url: string;
  port: number;
  logged: unknown[];
  counted: [string, number][];
}

async function serve(register: (app: App) => void, changed: Partial<AppOptions> = {}): Promise<Served> {
  const logged: unknown[] = [];
  const counted: [string, number][] = [];
  const note = (...line: unknown[]) => void logged.push(line);
  const app = await openApp({
    log: { debug: note, info: note, warn: note, error: note, fatal: note } as unknown as Log,
    metrics: { apiRequest: (route, status) => void counted.push([route, status]) },
    access: openAccess(TOKEN, new Throttle({ maxWrong: 3, windowMs: 60_000 })),
    trustedProxies: [],
    requestsPerMinute: 1000,
    ...changed,
  });
  apps.push(app);
  register(app);
  await app.listen({ host: "127.0.0.1", port: 0 });
  const address = app.server.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  return { app, url: `http://127.0.0.1:${port}`, port, logged, counted };
}

const ok = { response: { 200: z.object({ fine: z.boolean() }) } };
const fine = { fine: true };

function echo(app: App): void {
  const body = z.object({ text: z.string() });
  app.post("/api/v1/echo/:id", { config: { access: "operator" }, schema: { ...ok, body } }, async () => fine);
  app.get("/api/v1/echo/:id", { config: { access: "anybody" }, schema: ok }, async () => fine);
}

/** Writes bytes as they are. */
function send(port: number, ...parts: string[]): { socket: Socket; answer: Promise<string> } {
  const socket = connect(port, "127.0.0.1", () => {
    for (const part of parts) socket.write(part);
  });
  sockets.push(socket);
  socket.on("error", () => {});
  const answer = new Promise<string>((resolve) => {
    let text = "";
    socket.on("data", (chunk) => {
      text += String(chunk);
    });
    socket.on("close", () => resolve(text));
  });
  return { socket, answer };
}

describe("the desk's web server", () => {
  it("answers who has no token before a byte of the body has come, and reads no more", async () => {
    const { port, counted } = await serve(echo);
    const head =
      "POST /api/v1/echo/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n";
    const text = await send(port, head).answer;
    expect(text).toContain("401 Unauthorized");
    expect(text.toLowerCase()).toContain('www-authenticate: bearer realm="palmgate"');
    expect(text).toContain("UNAUTHORISED");
    expect(counted).toEqual([["/api/v1/echo/:id", 401]]);
  });

  it.each([
    ["more than it takes", `Content-Length: 5000\r\n\r\n`, "413", "TOO_LARGE"],
    [
      "more than it takes, in pieces",
      `Transfer-Encoding: chunked\r\n\r\n1400\r\n${"p".repeat(0x1400)}\r\n`,
      "413",
      "TOO_LARGE",
    ],
    ["no JSON", `Content-Length: 3\r\n\r\n{"x`, "400", "BAD_REQUEST"],
    [
      "a card number",
      `Content-Length: 30\r\n\r\n{"text":"4242 4242 4242 4242"}`,
      "422",
      "CARD_NUMBER_REFUSED",
    ],
  ])("refuses %s", async (_what, rest, status, code) => {
    const { port } = await serve(echo);
    const head = `POST /api/v1/echo/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Type: application/json\r\n`;
    const { socket, answer } = send(port, head + rest);
    socket.once("data", () => socket.end());
    const text = await answer;
    expect(text).toContain(`HTTP/1.1 ${status}`);
    expect(text).toContain(code);
    expect(text).not.toContain("4242");
  });

  it("refuses a content type that it does not know", async () => {
    const { url } = await serve(echo);
    const answer = await fetch(`${url}/api/v1/echo/1`, { method: "POST", headers: OPERATOR, body: "text" });
    expect(answer.status).toBe(415);
    expect(await answer.json()).toMatchObject({ code: "UNSUPPORTED_MEDIA" });
  });

  it("cuts off a body that comes too slowly", async () => {
    const { port } = await serve(echo, { requestTimeoutMs: 500 });
    const head = `POST /api/v1/echo/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Type: application/json\r\n`;
    const text = await send(port, `${head}Content-Length: 20\r\n\r\n{`).answer;
    expect(text).toContain("HTTP/1.1 408");
    expect(text).toContain("REQUEST_TIMEOUT");
  });

  it("keeps nothing of a body once its handler has answered", async () => {
    const kept: { body: Buffer | undefined; seen: string | undefined } = { body: undefined, seen: undefined };
    const { url } = await serve((app) => {
      app.post("/api/v1/keep", { config: { access: "operator" }, schema: ok }, async ({ bodyBytes }) => {
        kept.body = bodyBytes;
        kept.seen = bodyBytes?.toString();
        return fine;
      });
    });
    const secret = JSON.stringify({ text: "p".repeat(70) });
    await fetch(`${url}/api/v1/keep`, {
      method: "POST",
      headers: { ...OPERATOR, ...JSON_TYPE },
      body: secret,
    });
    expect(kept.seen).toBe(secret);
    expect(kept.body?.length).toBe(secret.length);
    expect(kept.body?.every((byte) => byte === 0)).toBe(true);
  });

  it("keeps nothing of a body whose sender went away, and tells no handler of it", async () => {
    const handle = vi.fn(async () => fine);
    const { port } = await serve((app) => {
      app.post("/api/v1/keep", { config: { access: "operator" }, schema: ok }, handle);
    });
    const made = vi.spyOn(Buffer, "alloc");
    const head = `POST /api/v1/keep HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Type: application/json\r\n`;
    const { socket } = send(port, `${head}Content-Length: 77\r\n\r\n${"p".repeat(70)}`);
    const body = await vi.waitUntil(() => {
      const at = made.mock.calls.findIndex(([bytes]) => bytes === 77);
      const buffer = made.mock.results[at]?.value as Buffer | undefined;
      return buffer?.includes("p".repeat(70)) && buffer;
    });
    made.mockRestore();
    socket.destroy();
    await vi.waitUntil(() => body.every((byte) => byte === 0));
    expect(handle).not.toHaveBeenCalled();
  });

  it("keeps room for operators whoever else sends, and gives it back", async () => {
    const { url, port } = await serve((app) => {
      for (const access of ["operator", "anybody"] as const) {
        app.post(
          `/api/v1/${access}`,
          { config: { access }, bodyLimit: 16 * MIB, schema: ok },
          async () => fine,
        );
      }
    });
    const head = "POST /api/v1/anybody HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    const { socket } = send(port, `${head}Content-Length: ${16 * MIB}\r\n\r\n{`);
    const statusOf = async (path: string) =>
      (await fetch(url + path, { method: "POST", headers: { ...OPERATOR, ...JSON_TYPE }, body: "{}" }))
        .status;
    await vi.waitUntil(async () => (await statusOf("/api/v1/anybody")) === 503);
    expect(await statusOf("/api/v1/operator")).toBe(200);
    socket.destroy();
    await vi.waitUntil(async () => (await statusOf("/api/v1/anybody")) === 200);
  });

  it("answers INTERNAL when a handler fails, and neither answers nor logs what was sent", async () => {
    const { url, logged } = await serve((app) => {
      app.post("/api/v1/fail", { config: { access: "operator" }, schema: ok }, async ({ bodyBytes }) => {
        throw new Error(`cannot use ${bodyBytes?.toString()}`);
      });
    });
    const answer = await fetch(`${url}/api/v1/fail`, {
      method: "POST",
      headers: { ...OPERATOR, ...JSON_TYPE },
      body: '{"text":"4111 secret"}',
    });
    expect(answer.status).toBe(500);
    expect(answer.headers.get("content-type")).toBe("application/problem+json; charset=utf-8");
    expect(await answer.json()).toMatchObject({
      code: "INTERNAL",
      type: "urn:palmgate:problem:internal",
      status: 500,
    });
    expect(logged).toHaveLength(1);
    expect(JSON.stringify(logged)).not.toContain("4111");
  });

  it("answers INTERNAL rather than what its own schema does not know", async () => {
    const { url } = await serve((app) => {
      app.get(
        "/api/v1/odd",
        { config: { access: "anybody" }, schema: ok },
        async () => ({ secret: 1 }) as never,
      );
    });
    const answer = await fetch(`${url}/api/v1/odd`);
    expect(answer.status).toBe(500);
    expect(await answer.text()).not.toContain("secret");
  });

  it("does not come up with a route that does not say who may ask", async () => {
    await expect(serve((app) => void app.get("/api/v1/open", async () => fine))).rejects.toThrow(
      "/api/v1/open",
    );
  });
});

describe("addresses and methods", () => {
  it("answers HEAD like GET without a body, OPTIONS and wrong methods with what is allowed", async () => {
    const { url } = await serve(echo);
    const head = await fetch(`${url}/api/v1/echo/1`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
    const options = await fetch(`${url}/api/v1/echo/1`, { method: "OPTIONS" });
    expect([options.status, options.headers.get("allow")]).toEqual([204, "GET, HEAD, OPTIONS, POST"]);
    const wrong = await fetch(`${url}/api/v1/echo/1`, { method: "PATCH" });
    expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "GET, HEAD, OPTIONS, POST"]);
    expect(await wrong.json()).toMatchObject({ code: "METHOD_NOT_ALLOWED" });
  });

  it.each(["/api/v1/echo", "/api/v1/echo/1/2", "/api/v2/echo/1", "/api/", "/api/%zz"])(
    "knows nothing at %s",
    async (path) => {
      const { url } = await serve(echo);
      const answer = await fetch(url + path, { headers: { accept: "text/html" } });
      expect([400, 404]).toContain(answer.status);
      if (path.startsWith("/api"))
        expect(answer.headers.get("content-type")).toContain("application/problem+json");
    },
  );

  it("has a page for people, and a problem for programs, at unknown addresses", async () => {
    const { url } = await serve(echo);
    const page = await fetch(`${url}/nowhere`, { headers: { accept: "text/html,*/*" } });
    expect([page.status, page.headers.get("content-type")]).toEqual([404, "text/html; charset=utf-8"]);
    expect(await page.text()).toContain("There is nothing at this address");
    expect(await (await fetch(`${url}/nowhere`)).json()).toMatchObject({ code: "NOT_FOUND" });
  });

  it("says with every answer that it is to be kept, framed, sniffed and shared by nobody", async () => {
    const { url } = await serve(echo);
    for (const path of ["/api/v1/echo/1", "/nowhere"]) {
      const { headers } = await fetch(url + path);
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("content-security-policy")).toContain("default-src 'none'");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("x-frame-options")).toBe("DENY");
      expect(headers.get("referrer-policy")).toBe("no-referrer");
      expect(headers.get("access-control-allow-origin")).toBeNull();
    }
  });

  it("refuses with its own code what a handler refuses", async () => {
    const { url } = await serve((app) => {
      app.get("/api/v1/busy", { config: { access: "anybody" }, schema: ok }, async () => {
        throw refuse("BUSY", "Too many.");
      });
    });
    const answer = await fetch(`${url}/api/v1/busy`);
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await answer.json()).toEqual({
      type: "urn:palmgate:problem:busy",
      title: "Busy",
      status: 503,
      code: "BUSY",
      detail: "Too many.",
      next: "Try again after the seconds in Retry-After.",
    });
  });
});

describe("limits", () => {
  const from = (address: string, headers: Record<string, string> = {}) => ({
    headers: { "x-forwarded-for": address, ...headers },
  });
  const behindProxy = { trustedProxies: ["127.0.0.1"] };

  it("count the requests of one address, lock out no other and no operator", async () => {
    const { url } = await serve(echo, { ...behindProxy, requestsPerMinute: 3 });
    const ask = async (address: string, headers: Record<string, string> = {}) =>
      (await fetch(`${url}/api/v1/echo/1`, from(address, headers))).status;
    for (let n = 0; n < 3; n++) expect(await ask("192.0.2.1")).toBe(200);
    expect(await ask("192.0.2.1")).toBe(429);
    expect(await ask("192.0.2.2")).toBe(200);
    expect(await ask("192.0.2.1", OPERATOR)).toBe(200);
    const answer = await fetch(`${url}/api/v1/echo/1`, from("192.0.2.1"));
    expect(await answer.json()).toMatchObject({ code: "TOO_MANY_REQUESTS" });
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    // Of an IPv6 client, its network.
    for (let n = 0; n < 3; n++) expect(await ask(`2001:db8::${n}`)).toBe(200);
    expect(await ask("2001:db8::9")).toBe(429);
  });

  it("believe in X-Forwarded-For only from a trusted proxy", async () => {
    const { url } = await serve(echo, { requestsPerMinute: 3 });
    const statuses = [];
    for (let n = 0; n < 4; n++)
      statuses.push((await fetch(`${url}/api/v1/echo/1`, from(`192.0.2.${n}`))).status);
    expect(statuses).toEqual([200, 200, 200, 429]);
  });

  it("know the client of an upgrade, which no route sees, by the same rule", () => {
    const request = {
      socket: { remoteAddress: "127.0.0.1" },
      headers: { "x-forwarded-for": "198.51.100.9, 192.0.2.7" },
    } as unknown as IncomingMessage;
    expect(clientAddress(request, ["127.0.0.1"])).toBe("192.0.2.7");
    expect(clientAddress(request, [])).toBe("127.0.0.1");
  });

  it("turn away an address that tries wrong tokens, and no other", async () => {
    const { url } = await serve(echo, behindProxy);
    const post = (address: string, token: string) =>
      fetch(`${url}/api/v1/echo/1`, {
        method: "POST",
        headers: {
          ...JSON_TYPE,
          "x-forwarded-for": address,
          ...(token === "" ? {} : { authorization: `Bearer ${token}` }),
        },
        body: '{"text":"x"}',
      }).then(({ status }) => status);
    for (let n = 0; n < 10; n++) expect(await post("192.0.2.1", "")).toBe(401);
    for (let n = 0; n < 3; n++) expect(await post("192.0.2.1", `wrong-${n}`)).toBe(401);
    expect(await post("192.0.2.1", TOKEN)).toBe(429);
    expect(await post("192.0.2.2", TOKEN)).toBe(200);
  });
});

describe("a turnstile", () => {
  it("lets in as many as fit, then in order of arrival, and turns the rest away", async () => {
    const turnstile = openTurnstile(2, 1);
    const ends: (() => void)[] = [];
    const order: string[] = [];
    const enter = (name: string) =>
      turnstile.pass(async () => {
        order.push(name);
        await new Promise<void>((resolve) => ends.push(resolve));
        return name;
      });
    const first = [enter("a"), enter("b"), enter("c")];
    expect(await enter("d")).toBeUndefined();
    expect(order).toEqual(["a", "b"]);
    ends[0]?.();
    expect(await first[0]).toBe("a");
    await vi.waitUntil(() => order.length === 3);
    for (const end of ends.slice(1)) end();
    expect(await Promise.all(first)).toEqual(["a", "b", "c"]);
    await expect(turnstile.pass(() => Promise.reject(new Error("left")))).rejects.toThrow("left");
    const last = enter("e");
    await vi.waitUntil(() => order.length === 4);
    ends.at(-1)?.();
    expect(await last).toBe("e");
  });
});
