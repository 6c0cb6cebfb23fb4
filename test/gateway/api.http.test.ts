// The API's way in, below its routes: slow bodies, and failures that must not tell what was sent.
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { type Route, registerRoutes } from "../../gateway/api/http.js";
import { openTurnstile } from "../../gateway/api/turnstile.js";
import { listen, openApp } from "../../gateway/transport.js";

let close = () => {};
afterEach(() => close());

async function serve(route: Pick<Route, "handle">) {
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
    [{ method: "post", path: "/api/echo/:id", maxBodyBytes: 100, ...route }],
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
