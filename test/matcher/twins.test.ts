// One name, one living matcher; one data folder, one process. All on real processes.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { PALMGATE_JS } from "../../cli/stack/child.js";
import { goesFirst } from "../../matcher/twin.js";
import { toHex } from "../../wire/hex.js";
import { SHARDS, ShardSet } from "../../wire/shard.js";
import { type Cluster, DIMENSION, startCluster } from "./support/cluster.js";
import { randomUnit, seeded } from "./support/vectors.js";

let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.close());
afterEach(() => cluster.releaseSlots());

interface Started {
  child: ChildProcess;
  /** "ready", or the exit code when it ended before. */
  outcome: Promise<"ready" | number>;
  exit: Promise<number | null>;
  stderr(): string;
}

function start(dataDir: string, args: string[] = []): Started {
  const all = ["matcher", "--ops-port", "0", "--threads", "1", "--data-dir", dataDir, ...args];
  const child = spawn(process.execPath, [PALMGATE_JS, ...all], {
    env: {
      ...process.env,
      PALMGATE_NATS_URL: cluster.nats.url,
      PALMGATE_MASTER_KEY: toHex(cluster.masterKey),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const exit = once(child, "close").then(([code]) => code as number | null);
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exit;
  });
  const ready = once(createInterface({ input: child.stdout ?? process.stdin }), "line").then(
    () => "ready" as const,
  );
  return { child, exit, outcome: Promise.race([ready, exit.then((code) => code ?? -1)]), stderr: () => text };
}

/** The line for the operator: the log's own are JSON. */
const plainLines = ({ stderr }: Started) =>
  stderr()
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("{"));

const killed = async ({ child, exit }: Started) => {
  child.kill("SIGKILL");
  await exit;
};
const folder = (name: string) => cluster.dataDir(name);

describe("twins", () => {
  it("a matcher whose name is that of a living one ends with one line, and the living one serves on", async () => {
    const first = start(folder("t1"), ["--worker-id", "same"]);
    expect(await first.outcome).toBe("ready");
    await cluster.allServed();
    const person = await cluster.enrol(randomUnit(seeded(5), DIMENSION));
    const second = start(folder("t2"), ["--worker-id", "same"]);
    expect(await second.outcome).toBe(2);
    expect(plainLines(second)).toEqual([
      "palmgate matcher: another matcher that is alive is called 'same' too. Give this one a --worker-id of its own; " +
        "or, where its data folder is a copy, remove .worker-id from it.",
    ]);
    expect(first.child.exitCode).toBeNull();
    expect((await cluster.searcher.best(0, person.signature))?.member).toBe(person.hex);
    await killed(first);
  });

  it("a matcher that starts again right after it was killed is not taken for its own twin", async () => {
    const first = start(folder("r"), ["--worker-id", "again"]);
    expect(await first.outcome).toBe("ready");
    await cluster.workers.until((states) => states.some(({ workerId }) => workerId === "again"));
    await killed(first);
    const second = start(folder("r"), ["--worker-id", "again"]);
    expect(await second.outcome).toBe("ready");
    await cluster.allServed();
    await killed(second);
  });

  it("of two that start at once exactly one goes on", async () => {
    const both = [start(folder("o1"), ["--worker-id", "once"]), start(folder("o2"), ["--worker-id", "once"])];
    const ended = await Promise.race(both.map(async (each) => ({ each, code: await each.exit })));
    expect(ended.code).toBe(2);
    const other = both.find((each) => each !== ended.each);
    expect(await other?.outcome).toBe("ready");
    // It has heard of the other, if it ever does, before it serves everything.
    await cluster.workers.until((states) =>
      states.some(({ shardsReady }) => ShardSet.from(shardsReady)?.size === SHARDS),
    );
    await cluster.allServed();
    expect(other?.child.exitCode).toBeNull();
  });

  it("agree on who gives way", () => {
    const at = (startedUnixMs: number, instance: string) => ({ workerId: "w", startedUnixMs, instance });
    for (const [a, b] of [
      [at(1, "b"), at(2, "a")],
      [at(1, "a"), at(1, "b")],
    ] as const) {
      expect([goesFirst(a, b), goesFirst(b, a)]).toEqual([true, false]);
    }
  });
});

describe("a matcher's own name", () => {
  it("is made once at random, kept where only its owner reads it, and the same after a restart", async () => {
    const names: string[] = [];
    for (const dir of ["n1", "n1", "n2"].map(folder)) {
      const matcher = start(dir);
      expect(await matcher.outcome).toBe("ready");
      const file = join(dir, ".worker-id");
      names.push(readFileSync(file, "utf8").trim());
      expect([statSync(file).mode & 0o777, statSync(dir).mode & 0o777]).toEqual([0o600, 0o700]);
      await cluster.workers.until((states) => states.some(({ workerId }) => workerId === names.at(-1)));
      await killed(matcher);
    }
    const [first, again, other] = names;
    expect(first).toMatch(/^matcher-[0-9a-f]{16}$/);
    expect(again).toBe(first);
    expect(other).not.toBe(first);
  });

  it("that came with a copied data folder is noticed", async () => {
    const original = start(folder("c1"));
    expect(await original.outcome).toBe("ready");
    const name = readFileSync(join(folder("c1"), ".worker-id"), "utf8").trim();
    await cluster.workers.until((states) => states.some(({ workerId }) => workerId === name));
    cpSync(join(folder("c1"), ".worker-id"), join(folder("c2"), ".worker-id"));
    const copy = start(folder("c2"));
    expect(await copy.outcome).toBe(2);
    expect(plainLines(copy)).toEqual([expect.stringContaining("remove .worker-id from it")]);
  });

  it("is refused when the file holds something else", async () => {
    const dir = folder("bad");
    const first = start(dir);
    expect(await first.outcome).toBe("ready");
    await killed(first);
    writeFileSync(join(dir, ".worker-id"), "not a name\n");
    const second = start(dir);
    expect(await second.outcome).toBe(2);
    expect(plainLines(second)).toEqual([expect.stringMatching(/holds no worker id\. Remove it/)]);
  });
});

it("a data folder that another matcher uses is refused with one line, whatever the names", async () => {
  const first = start(folder("shared"), ["--worker-id", "one"]);
  expect(await first.outcome).toBe("ready");
  const second = start(folder("shared"), ["--worker-id", "two"]);
  expect(await second.outcome).toBe(2);
  expect(plainLines(second)).toEqual([
    expect.stringMatching(/^palmgate matcher: --data-dir: .*shared is in use by another process\. Give each/),
  ]);
  await killed(first);
  const third = start(folder("shared"), ["--worker-id", "one"]);
  expect(await third.outcome).toBe("ready");
});
