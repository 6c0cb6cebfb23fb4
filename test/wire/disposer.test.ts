import { describe, expect, it } from "vitest";
import { Disposer, opened } from "../../wire/disposer.js";

describe("disposer", () => {
  it("closes all, newest first, one after the other, once", async () => {
    const closed: string[] = [];
    const disposer = new Disposer();
    disposer.defer(() => void closed.push("first"));
    disposer.defer(async () => {
      await Promise.resolve();
      closed.push("second");
    });
    disposer.defer(() => void closed.push("third"));
    await Promise.all([disposer.close(), disposer.close()]);
    expect(closed).toEqual(["third", "second", "first"]);
    disposer.defer(() => void closed.push("late"));
    await disposer.close();
    expect(closed.at(-1)).toBe("late");
  });

  it("closes the rest although one fails, and tells the first failure", async () => {
    const closed: string[] = [];
    const disposer = new Disposer();
    disposer.defer(() => void closed.push("first"));
    for (const name of ["a", "b"]) {
      disposer.defer(() => {
        throw new Error(name);
      });
    }
    await expect(disposer.close()).rejects.toThrow("b");
    expect(closed).toEqual(["first"]);
  });

  it("closes what a failed start had opened, and the failure goes on", async () => {
    const closed: string[] = [];
    const starting = opened(async (disposer) => {
      disposer.defer(() => void closed.push("one"));
      disposer.defer(() => {
        closed.push("two");
        throw new Error("cannot be closed");
      });
      throw new Error("no such port");
    });
    await expect(starting).rejects.toThrow("no such port");
    expect(closed).toEqual(["two", "one"]);
    expect(await opened(async () => 7)).toBe(7);
  });
});
