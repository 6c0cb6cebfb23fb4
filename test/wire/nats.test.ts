import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openLog } from "../../wire/log.js";
import { connectNats } from "../../wire/nats.js";
import { type LocalNats, startLocalNats } from "../../wire/nats-server.js";

process.env.PALMGATE_LOG ??= "fatal";

/** A connection, and the socket below it, which the client library keeps to itself. */
async function connectWithSocket(url: string): Promise<{ connection: NatsConnection; socket: Socket }> {
  const opened: Socket[] = [];
  const note = (message: unknown) => opened.push((message as { socket: Socket }).socket);
  subscribe("net.client.socket", note);
  const connection = await connectNats({ url, name: "wire-test", log: openLog("wire-test") });
  unsubscribe("net.client.socket", note);
  const [socket] = opened;
  if (!socket) throw new Error("no socket was opened");
  return { connection, socket };
}

describe("a frame sent between the server's end and the socket's close", () => {
  let dir: string;
  let server: LocalNats;
  let connection: NatsConnection;
  let socket: Socket;
  const uncaught: Error[] = [];
  const note = (error: Error) => uncaught.push(error);

  beforeEach(async () => {
    uncaught.length = 0;
    process.on("uncaughtException", note);
    dir = mkdtempSync(join(tmpdir(), "palmgate-nats-"));
    server = await startLocalNats(dir);
    ({ connection, socket } = await connectWithSocket(server.url));
  });

  afterEach(async () => {
    process.off("uncaughtException", note);
    await connection.close();
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  /** Resolves in that moment: before the event loop turns, our side has been ended and the socket is still there. */
  async function serverGone(): Promise<void> {
    const ended = once(socket, "end");
    const gone = server.kill();
    await ended;
    expect({ ended: socket.writableEnded, destroyed: socket.destroyed }).toEqual({
      ended: true,
      destroyed: false,
    });
    void gone;
  }

  it("does no harm when the connection is closed right after it", async () => {
    await serverGone();
    connection.publish("anything");
    await connection.close();
    await nextTurn();
    expect(uncaught).toEqual([]);
  });

  it("does not keep the connection from coming back", async () => {
    await serverGone();
    const back = (async () => {
      for await (const status of connection.status()) if (status.type === "reconnect") return true;
      return false;
    })();
    connection.publish("anything");
    await server.kill();
    await server.restart();
    expect(await back).toBe(true);
    await connection.flush();
    expect(uncaught).toEqual([]);
  });
});
