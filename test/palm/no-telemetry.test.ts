// The runtime must not report to anybody. Its telemetry shows itself by files in the temporary directory (seen there
// without palm/no-telemetry.ts; not started here to prove it again, since it would call its vendor).
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it, onTestFinished } from "vitest";

const root = new URL("../../", import.meta.url);
const model = JSON.stringify(fileURLToPath(new URL("model/signature.onnx", root)));
const SIGNERS = `
  import { SignerPool } from "${new URL("dist/palm/index.js", root)}";
  const pool = await SignerPool.open({ modelPath: ${model}, threads: 1, maxQueued: 1 });
  await pool.close();
`;
/** In the temporary directory, by the program and its threads. */
function filesLeftBy(program: string): string[] {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-telemetry-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const file = join(dir, "program.mjs");
  writeFileSync(file, program);
  const temporary = join(dir, "temporary");
  mkdirSync(temporary);
  // An environment of its own: the runtime keeps silent by itself where a variable such as CI is set.
  const { PATH = "", HOME = "" } = process.env;
  execFileSync(process.execPath, [file], { env: { PATH, HOME, TMPDIR: temporary } });
  return readdirSync(temporary);
}

it("signers start no telemetry of the runtime", () => {
  expect(filesLeftBy(SIGNERS)).toEqual([]);
});
