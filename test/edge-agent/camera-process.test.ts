// `palmgate edge` with a camera, and with a folder of whole hands, as an operator runs it: a process of its own, the
// real networks, a real ffmpeg. (What they see in hands is tested where the hands are.)
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import sharp from "sharp";
import { expect, it, onTestFinished } from "vitest";
import { PALMGATE_JS } from "../../cli/stack/child.js";
import { makeDeviceKey } from "../../edge-agent/device-key.js";
import { openGateway } from "./lane.js";
import { drawVideo, temporaryFolder } from "./videos.js";

/** Node itself refuses every attempt to open a file for writing. */
const NO_WRITES = [
  ...["--experimental-permission", "--allow-fs-read=*", "--allow-addons", "--allow-child-process"],
  ...["--allow-worker", "--no-warnings"],
];

function startEdge(gateway: string, args: string[]) {
  const home = temporaryFolder();
  const keyFile = join(home, "device.pem");
  writeFileSync(keyFile, makeDeviceKey().privateKeyPem, { mode: 0o600 });
  const lane = ["--gateway", gateway, "--device-id", "lane-1", "--device-key", keyFile, "--json"];
  const child = spawn(process.execPath, [...NO_WRITES, PALMGATE_JS, "edge", ...lane, ...args], {
    cwd: home,
    env: { PATH: process.env.PATH, TMPDIR: home, HOME: home },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  child.stderr.on("data", (chunk) => {
    log += chunk;
  });
  const exit = once(child, "exit").then(([code]) => code as number | null);
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exit;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`the agent ended. Its log:\n${log}`);
    return JSON.parse(value) as Record<string, unknown>;
  };
  return { line, exit, log: () => log, stop: () => child.kill("SIGTERM"), pid: child.pid, home };
}

const metric = (text: string, name: string): number =>
  Number(new RegExp(`^palmgate_${name} (\\S+)$`, "m").exec(text)?.[1] ?? Number.NaN);

it("watches a camera, sends nothing while no hand is there, and leaves neither a process nor a file", async () => {
  const gateway = await openGateway();
  const file = drawVideo({ seconds: 2, square: [0.5, 1.5] });
  const agent = startEdge(gateway.url, ["--source", `camera:${file}`]);
  const connection = await gateway.connection();
  const { opsPort } = await agent.line();
  const metrics = async () => (await fetch(`http://127.0.0.1:${opsPort}/metrics`)).text();
  let text = await metrics();
  while (!(metric(text, "agent_sight_seconds_count") >= 5)) {
    await connection.nextHeartbeat();
    text = await metrics();
  }
  expect(metric(text, 'agent_camera_frames_total{result="read"}')).toBeGreaterThan(4);
  expect(metric(text, "agent_camera_restarts_total")).toBe(0);
  expect(connection.unreadFrames()).toBe(0);
  const children = readFileSync(`/proc/${agent.pid}/task/${agent.pid}/children`, "utf8").trim().split(" ");
  expect(children).toHaveLength(1);
  agent.stop();
  expect(await agent.exit, agent.log()).toBe(0);
  expect(existsSync(`/proc/${children[0]}`)).toBe(false);
  expect(readdirSync(agent.home)).toEqual(["device.pem"]);
});

it("finds no palm in a folder of empty rooms, says so in a code, and sends nothing", async () => {
  const palms = temporaryFolder();
  mkdirSync(join(palms, "anna"));
  const room = sharp({ create: { width: 640, height: 480, channels: 3, background: "#607080" } });
  writeFileSync(join(palms, "anna", "1_1.png"), await room.png().toBuffer());
  writeFileSync(join(palms, "anna", "2_1.jpg"), (await room.jpeg().toBuffer()).subarray(0, 700));
  const gateway = await openGateway();
  const agent = startEdge(gateway.url, ["--source", palms, "--hands", "--count", "2", "--interval-ms", "0"]);
  const connection = await gateway.connection();
  expect(await agent.line()).toMatchObject({ ready: true });
  expect(await agent.line()).toMatchObject({ palm: "anna", code: "NO_FRAME", reason: "NO_HAND" });
  expect(await agent.line()).toMatchObject({ palm: "anna", code: "NO_FRAME", reason: "BAD_IMAGE" });
  expect(await agent.exit).toBe(0);
  expect(connection.unreadFrames()).toBe(0);
});

it("ends with what to do, not in silence, when a folder of whole hands holds none or the lane's port is taken", async () => {
  const gateway = await openGateway();
  const palms = temporaryFolder();
  const noPalm = startEdge(gateway.url, ["--source", palms, "--hands"]);
  expect(await noPalm.exit).toBe(2);
  expect(noPalm.log()).toContain(`no palm in ${palms}`);
  mkdirSync(join(palms, "anna"));
  writeFileSync(join(palms, "anna", "1_1.png"), "");
  const taken = startEdge(gateway.url, [
    "--source",
    palms,
    "--hands",
    "--ops-port",
    new URL(gateway.url).port,
  ]);
  expect(await taken.exit).not.toBe(0);
  expect(taken.log()).toContain("EADDRINUSE");
});
