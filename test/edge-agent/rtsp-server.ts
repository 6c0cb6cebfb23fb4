// A network camera, played by the test: RTSP 1.0 with Basic authentication over a real socket, RTP interleaved on it
// (RFC 2326, sections 10 and 10.12). The RTP packets are a second ffmpeg's, which plays a video file without end.
import { type ChildProcess, spawn } from "node:child_process";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import { findFfmpeg } from "../../edge-agent/camera/ffmpeg.js";

const RTP_CHANNEL = 0;

export interface RtspServer {
  /** Without credentials. */
  port: number;
  /** Connections so far. */
  connections: () => number;
  /** Every camera's connection is cut. */
  cut(): void;
}

/** @param file a video; @param credentials user:password */
export async function startRtspServer(file: string, credentials: string): Promise<RtspServer> {
  const rtp = createSocket("udp4");
  rtp.bind(0, "127.0.0.1");
  await once(rtp, "listening");
  const player = play(file, rtp.address().port);
  const sockets: Socket[] = [];
  const playing = new Set<Socket>();
  rtp.on("message", (packet) => {
    for (const socket of playing) {
      socket.write(
        Buffer.concat([Buffer.from([0x24, RTP_CHANNEL, packet.length >> 8, packet.length & 255]), packet]),
      );
    }
  });
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => playing.delete(socket));
    serve(socket, credentials, () => playing.add(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => stop(server, sockets, rtp, player));
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("no port");
  return {
    port: bound.port,
    connections: () => sockets.length,
    cut: () => {
      for (const each of sockets) each.destroy();
    },
  };
}

function play(file: string, port: number): ChildProcess {
  const args = [
    "-v",
    "error",
    "-nostdin",
    "-re",
    "-stream_loop",
    "-1",
    "-i",
    file,
    "-c:v",
    "mjpeg",
    "-huffman",
    "default",
  ];
  return spawn(findFfmpeg(), [...args, "-f", "rtp", `rtp://127.0.0.1:${port}?pkt_size=1200`], {
    stdio: ["ignore", "ignore", "inherit"],
  });
}

async function stop(server: Server, sockets: Socket[], rtp: UdpSocket, player: ChildProcess): Promise<void> {
  const isGone = once(player, "exit");
  player.kill("SIGKILL");
  await isGone;
  for (const each of sockets) each.destroy();
  server.close();
  rtp.close();
}

const SDP = [
  "v=0",
  "o=- 0 0 IN IP4 127.0.0.1",
  "s=test",
  "t=0 0",
  "m=video 0 RTP/AVP 26",
  "a=control:video",
  "",
].join("\r\n");

/** Answers requests; what a camera sends on the RTCP channel is passed over. */
function serve(socket: Socket, credentials: string, onPlay: () => void): void {
  const wanted = `Basic ${Buffer.from(credentials).toString("base64")}`;
  let unread = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    unread = Buffer.concat([unread, chunk]);
    while (unread.length > 0) {
      const isRtcp = unread[0] === 0x24;
      const end = isRtcp
        ? 4 + (unread.length >= 4 ? unread.readUInt16BE(2) : 0)
        : unread.indexOf("\r\n\r\n") + 4;
      if (end < 4 || unread.length < end) return;
      const request = unread.toString("latin1", 0, end);
      unread = unread.subarray(end);
      if (isRtcp) continue;
      const header = (name: string) => new RegExp(`^${name}: *(.*)\r$`, "im").exec(request)?.[1] ?? "";
      const method = request.split(" ", 1)[0] ?? "";
      const isAllowed = method === "OPTIONS" || header("Authorization") === wanted;
      socket.write(answer(isAllowed ? method : "", header("CSeq"), header("Transport")));
      if (isAllowed && method === "PLAY") onPlay();
    }
  });
}

function answer(method: string, sequence: string, transport: string): string {
  const head = (status: string, ...more: string[]) =>
    [`RTSP/1.0 ${status}`, `CSeq: ${sequence}`, "Session: 1", ...more, "", ""].join("\r\n");
  switch (method) {
    case "OPTIONS":
      return head("200 OK", "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN");
    case "DESCRIBE":
      return head("200 OK", "Content-Type: application/sdp", `Content-Length: ${SDP.length}`) + SDP;
    case "SETUP":
      return head("200 OK", `Transport: ${transport}`);
    case "PLAY":
    case "TEARDOWN":
      return head("200 OK");
    default:
      return head("401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"');
  }
}
