// The API's way in, below its routes: slow bodies, and failures that must not tell what was sent.
import { connect } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type Route, registerRoutes } from "../../gateway/api/http.js";
import { openTurnstile } from "../../gateway/api/turnstile.js";
import { listen, openApp } from "../../gateway/transport.js";

let close = () => {};
afterEach(() => close());

const MIB = 1024 * 1024;

async function serve(...routes: (Pick<Route, "handle"> & Partial<Route>)[]) {
  const app = openApp(undefined);
  const logged: unknown[] = [];
  const counted: [string, number][] = [];
  const note = (...line: unknown[]) => {
    logged.push(line);
  };
  registerRoutes(
    app,
    {
      log: { debug: note, info: note, warn: note, error: note, fatal: note },
      metrics: { apiRequest: (path, status) => counted.push([path, status]) },
      operatorToken: "t",
      bodyTimeoutMs: 200,
    },
    routes.map((route) => ({ method: "post", path: "/api/echo/:id", maxBodyBytes: 100, ...route })),
  );
  const { port } = await listen(app, "127.0.0.1", 0);
  close = () => app.close();
  return { port, logged, counted };
}

describe("the API's way in", () => {
  it("gives up on a body that trickles, and closes", async () => {
    let handled = 0;
    const { port, counted } = await serve({
      handle: () => {
        handled++;
        return { ok: true, status: 200, body: {} };
      },
    });
    const text = await new Promise<string>((resolve) => {
      let received = "";
      const socket = connect(port, "127.0.0.1", () =>
        socket.write(
          "POST /api/echo/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Length: 50\r\n\r\na",
        ),
      );
      const trickle = setInterval(() => socket.write("b"), 50);
      socket.on("data", (chunk) => {
        received += chunk;
      });
      socket.on("error", () => {});
      socket.on("close", () => {
        clearInterval(trickle);
        resolve(received);
      });
    });
    expect(text).toContain("400");
    expect(text).toContain("BAD_REQUEST");
    expect(handled).toBe(0);
    expect(counted).toEqual([["/api/echo/:id", 400]]);
  });

  it("keeps nothing of a body whose sender went away, and tells no handler of it", async () => {
    let handled = 0;
    const { port } = await serve({
      handle: () => {
        handled++;
        return { ok: true, status: 200, body: {} };
      },
    });
    const made = vi.spyOn(Buffer, "allocUnsafe");
    const socket = connect(port, "127.0.0.1", () =>
      socket.write(
        `POST /api/echo/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Length: 77\r\n\r\n${"p".repeat(70)}`,
      ),
    );
    const body = await vi.waitUntil(() => {
      const index = made.mock.calls.findIndex(([bytes]) => bytes === 77);
      const buffer = made.mock.results[index]?.value as Buffer | undefined;
      return buffer?.includes("p".repeat(70)) && buffer;
    });
    made.mockRestore();
    socket.destroy();
    await vi.waitUntil(() => body.every((byte) => byte === 0));
    expect(handled).toBe(0);
  });

  it("keeps room for operators whoever else sends, and gives it back", async () => {
    const handle = () => ({ ok: true, status: 200, body: {} }) as const;
    const { port } = await serve(
      { handle, maxBodyBytes: 16 * MIB },
      { handle, maxBodyBytes: 16 * MIB, path: "/api/open/:id", open: true },
    );
    const slow = connect(port, "127.0.0.1", () =>
      slow.write(`POST /api/open/1 HTTP/1.1\r\nHost: x\r\nContent-Length: ${16 * MIB}\r\n\r\np`),
    );
    const statusOf = async (path: string) =>
      (
        await fetch(`http://127.0.0.1:${port}${path}`, {
          method: "POST",
          headers: { authorization: "Bearer t" },
          body: "p",
        })
      ).status;
    slow.on("error", () => {});
    await vi.waitUntil(async () => (await statusOf("/api/open/2")) === 503);
    expect(await statusOf("/api/echo/2")).toBe(200);
    slow.destroy();
    await vi.waitUntil(async () => (await statusOf("/api/open/3")) === 200);
  });

  it("answers INTERNAL when a handler throws, and neither answers nor logs what was sent", async () => {
    const { port, logged } = await serve({
      handle: ({ body }) => {
        throw new Error(`cannot use ${body.toString()}`);
      },
    });
    const answer = await fetch(`http://127.0.0.1:${port}/api/echo/1`, {
      method: "POST",
      headers: { authorization: "Bearer t" },
      body: "4242 4242 4242 4242",
    });
    expect(answer.status).toBe(500);
    expect(await answer.json()).toMatchObject({ code: "INTERNAL" });
    expect(logged).toHaveLength(1);
    expect(JSON.stringify(logged)).not.toContain("4242");
  });
});

describe("a turnstile", () => {
  it("lets in as many as fit, then in order of arrival, and turns the rest away", async () => {
    const turnstile = openTurnstile(2, 1);
    expect([await turnstile.enter(), await turnstile.enter()]).toEqual([true, true]);
    const third = turnstile.enter();
    expect(await turnstile.enter()).toBe(false);
    turnstile.leave();
    expect(await third).toBe(true);
    turnstile.leave();
    turnstile.leave();
    expect([await turnstile.enter(), await turnstile.enter()]).toEqual([true, true]);
  });
});
