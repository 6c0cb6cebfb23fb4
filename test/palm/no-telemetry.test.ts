// The runtime must not report to anybody. Its telemetry shows itself by files in the temporary directory.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { expect, it, onTestFinished } from "vitest";

const root = new URL("../../", import.meta.url);
const runtime = createRequire(import.meta.url).resolve("onnxruntime-node");
const model = JSON.stringify(fileURLToPath(new URL("model/signature.onnx", root)));
const SIGNERS = `
  import { SignerPool } from "${new URL("dist/palm/index.js", root)}";
  const pool = await SignerPool.open({ modelPath: ${model}, threads: 1, maxQueued: 1 });
  await pool.close();
`;
const RUNTIME_ALONE = `
  import ort from "${pathToFileURL(runtime)}";
  await (await ort.InferenceSession.create(${model})).release();
`;

/** In the temporary directory, by the program and its threads. */
function filesLeftBy(program: string): string[] {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-telemetry-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const file = join(dir, "program.mjs");
  writeFileSync(file, program);
  const temporary = join(dir, "temporary");
  mkdirSync(temporary);
  const { ORT_DISABLE_TELEMETRY: _, ...env } = process.env;
  execFileSync(process.execPath, [file], { env: { ...env, TMPDIR: temporary } });
  return readdirSync(temporary);
}

it("signers start no telemetry of the runtime", () => {
  expect(filesLeftBy(SIGNERS)).toEqual([]);
});

it.runIf(process.platform === "linux")("the runtime alone would, so that the check above can fail", () => {
  expect(filesLeftBy(RUNTIME_ALONE)).not.toEqual([]);
});
