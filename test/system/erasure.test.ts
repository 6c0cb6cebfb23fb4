// Erasures while a matcher is away, on real processes: pending at first, whole without a restart of the gateway.
import { readFile } from "node:fs/promises";
import { afterEach, describe, expect, it } from "vitest";
import { openSite, type Site, until } from "./support.js";

const SETTLE_DEADLINE_MS = 30_000;

describe("an erasure while one of two matchers is away", () => {
  let site: Site | undefined;
  const frozen = new Set<number>();
  afterEach(async () => {
    for (const pid of frozen) process.kill(pid, "SIGCONT");
    frozen.clear();
    await site?.close();
    site = undefined;
  });

  /** Matchers hear nothing and say nothing, but their connections stay. */
  function freeze(running: Site, workerId: string): void {
    const pid = running.stack.matchers.get(workerId)?.pid;
    if (pid === undefined) throw new Error(`no ${workerId}`);
    process.kill(pid, "SIGSTOP");
    frozen.add(pid);
  }

  const remove = async ({ stack }: Site, memberId: string) => {
    const response = await fetch(`${stack.gatewayUrl}/api/members/${memberId}`, {
      method: "DELETE",
      headers: { authorization: `Bearer ${stack.operatorToken}` },
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };

  const goneOnByItself = ({ stack }: Site) =>
    until("the erasure goes on by itself", SETTLE_DEADLINE_MS, async () =>
      (await readFile(stack.gateway().logFile, "utf8")).includes("an erasure that was pending is whole"),
    );

  /** A gateway is ready with one holder of each partition; this waits for the second. */
  const heldTwice = ({ stack }: Site) =>
    until("both matchers hold everything", SETTLE_DEADLINE_MS, async () => {
      const ready = [...stack.matchers.values()].map(async (matcher) => {
        const metrics = await fetch(`http://127.0.0.1:${Number(matcher.ready.opsPort)}/metrics`);
        return (await metrics.text()).includes('palmgate_matcher_partitions{state="ready"} 4');
      });
      return (await Promise.all(ready)).every((each) => each);
    });

  it("is pending while that one hangs; when it counts as dead, the receipt comes from the other alone", async () => {
    site = await openSite();
    await heldTwice(site);
    const { memberId } = await site.enrol(31);
    freeze(site, "matcher-2");
    expect(await remove(site, memberId)).toMatchObject({ status: 202, body: { code: "ERASURE_PENDING" } });
    await goneOnByItself(site);
    freeze(site, "matcher-1");
    expect(await remove(site, memberId)).toMatchObject({
      status: 200,
      body: { memberId, workers: ["matcher-1"] },
    });
  });

  it("is pending while both are gone; when they are back, the receipt comes", async () => {
    site = await openSite();
    const { memberId } = await site.enrol(32);
    await Promise.all([...site.stack.matchers.values()].map((matcher) => matcher.kill()));
    expect(await remove(site, memberId)).toMatchObject({ status: 202, body: { code: "ERASURE_PENDING" } });
    await Promise.all([site.stack.startMatcher("matcher-1"), site.stack.startMatcher("matcher-2")]);
    await goneOnByItself(site);
    const { status, body } = await remove(site, memberId);
    expect(status).toBe(200);
    expect(body.workers).not.toHaveLength(0);
  });
});
