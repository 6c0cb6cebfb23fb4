import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { peopleFromFolder } from "../../cli/demo/people.js";
import { UsageError } from "../../wire/config.js";

const SIDE = 64;

/** A grey 24-bit bitmap, which sharp alone does not read. */
function bitmap(): Buffer {
  const file = Buffer.alloc(54 + SIDE * SIDE * 3, 0x80);
  file.fill(0, 0, 54);
  file.write("BM", "latin1");
  file.writeUInt32LE(54, 10);
  file.writeUInt32LE(40, 14);
  file.writeInt32LE(SIDE, 18);
  file.writeInt32LE(SIDE, 22);
  file.writeUInt16LE(24, 28);
  return file;
}

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-people-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  return dir;
}

it("takes every kind of image that it says it takes", async () => {
  const dir = folder();
  mkdirSync(join(dir, "anna"));
  for (const name of ["1_1.bmp", "2_1.bmp"]) writeFileSync(join(dir, "anna", name), bitmap());
  const [anna] = await peopleFromFolder(dir);
  const palm = await anna?.presentation(0);
  expect((await palm?.frames().next())?.image).toMatchObject({ widthPx: SIDE, heightPx: SIDE });
});

it.each([
  ["is not there", () => "/nowhere/at/all"],
  ["holds no palm", folder],
])("refuses a folder that %s, as wrong usage", async (_, dir) => {
  await expect(peopleFromFolder(dir())).rejects.toThrow(UsageError);
});
