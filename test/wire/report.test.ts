// Lines on real streams of real processes: what is lost is counted, what can be written is written, nothing waits.
import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, it, onTestFinished } from "vitest";

const REPORT_JS = new URL("../../dist/wire/report.js", import.meta.url).href;
const LOG_JS = new URL("../../dist/wire/log.js", import.meta.url).href;

/** Obeys orders on stdin, a line each, and answers on fd 3: [lines dropped, ms that the order took]. */
const PROGRAM = `
import { createInterface } from "node:readline";
import { writeSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { Registry } from "${import.meta.resolve("prom-client")}";
import { countDroppedLines, report, reportsFlushed } from "${REPORT_JS}";
const registry = new Registry();
countDroppedLines(registry);
const metric = registry.getSingleMetric("palmgate_log_lines_dropped_total");
const inThread = \`import("${LOG_JS}").then(({ openLog }) => openLog("thread").info("from a thread"))\`;
const orders = {
  write: (count, text) => { for (let i = 0; i < Number(count); i++) report(2, text + "\\n"); },
  out: (text) => report(1, text + "\\n"),
  flush: () => reportsFlushed(300),
  thread: () => new Promise((resolve) => new Worker(inThread, { eval: true }).on("exit", resolve)),
  exit: () => process.exit(0),
};
for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...args] = line.split(" ");
  const startedAtMs = performance.now();
  await orders[name](...args);
  const tookMs = performance.now() - startedAtMs;
  const [{ value }] = (await metric.get()).values;
  writeSync(3, JSON.stringify([value, tookMs]) + "\\n");
}
`;

interface Reporter {
  child: ChildProcess;
  order(text: string): Promise<{ dropped: number; tookMs: number }>;
}

function start(stdout: number | "pipe", stderr: number | "pipe"): Reporter {
  const child = spawn(process.execPath, ["--input-type=module", "-e", PROGRAM], {
    stdio: ["pipe", stdout, stderr, "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const answers = createInterface({ input: child.stdio[3] as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  return {
    child,
    order: async (text) => {
      child.stdin?.write(`${text}\n`);
      const { value } = await answers.next();
      const [dropped, tookMs] = JSON.parse(String(value)) as [number, number];
      return { dropped, tookMs };
    },
  };
}

function opened(path: string, flags: string): number {
  const fd = openSync(path, flags);
  onTestFinished(() => closeSync(fd));
  return fd;
}

describe("lines that only report", () => {
  it("are dropped and counted on a full disk", async () => {
    const reporter = start("pipe", opened("/dev/full", "w"));
    await reporter.order("write 50 lost");
    expect((await reporter.order("flush")).dropped).toBe(50);
    expect((await reporter.order("write 1 lost")).tookMs).toBeLessThan(100);
    expect((await reporter.order("flush")).dropped).toBe(51);
  });

  it("are dropped and counted when their reader has gone", async () => {
    const reporter = start("pipe", "pipe");
    reporter.child.stdout?.destroy();
    await reporter.order("out lost");
    await reporter.order("out lost");
    expect((await reporter.order("flush")).dropped).toBe(2);
  });

  it("never wait for a reader that has fallen asleep, and flow again when it wakes", async () => {
    const reporter = start("pipe", "pipe");
    const { stderr } = reporter.child;
    const line = "z".repeat(1000);
    const { dropped, tookMs } = await reporter.order(`write 3000 ${line}`);
    expect(tookMs).toBeLessThan(1000);
    // Bounded: what the pipe holds and 256 KiB wait, the rest is lost.
    expect(dropped).toBeGreaterThan(2000);
    expect(dropped).toBeLessThan(3000);
    let text = "";
    const read = new EventEmitter();
    stderr?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      read.emit("more");
    });
    await reporter.order("flush");
    await reporter.order("write 1 awake");
    while (!text.endsWith("awake\n")) await once(read, "more");
    const lines = text.trimEnd().split("\n");
    expect(lines).toHaveLength(3000 - dropped + 1);
    expect(new Set(lines)).toEqual(new Set([line, "awake"]));
  });

  it("of worker threads come out of the main thread", async () => {
    const reporter = start("pipe", "pipe");
    const { stderr } = reporter.child;
    if (stderr === null) throw new Error("no stderr");
    const first = once(createInterface({ input: stderr }), "line");
    await reporter.order("thread");
    expect(JSON.parse(String((await first)[0]))).toMatchObject({ process: "thread", msg: "from a thread" });
  });

  it("that a file has not taken yet are written when the process ends", async () => {
    const dir = mkdtempSync(join(tmpdir(), "palmgate-report-"));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const file = join(dir, "log");
    const reporter = start("pipe", opened(file, "a"));
    reporter.child.stdin?.write("write 200 kept\nexit\n");
    await once(reporter.child, "exit");
    expect(readFileSync(file, "utf8")).toBe("kept\n".repeat(200));
  });
});
