// What the palm tests share: the committed files, and folders that go away again.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { type GreyImage, renderSample, synthesiseIdentity } from "../../palm/index.js";

const ours = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

export const MODEL = ours("model/signature.onnx");
/** Makes no line maps. */
export const GABOR = ours("model/gabor.onnx");
export const CALIBRATION = ours("model/calibration.json");

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "palmgate-palm-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export const palm = (identity: number, sample = 1): GreyImage =>
  renderSample(synthesiseIdentity(identity), { seed: sample });

/** An image by formula. */
export function drawn(width: number, height: number, greyAt: (x: number, y: number) => number): GreyImage {
  const pixels = Uint8Array.from({ length: width * height }, (_, at) =>
    greyAt(at % width, Math.floor(at / width)),
  );
  return { width, height, pixels };
}
