// Opens the committed shells from disk (Node only). They are part of the program: one that cannot be read is a bug.
import { readFile } from "node:fs/promises";
import sharp from "sharp";
import { z } from "zod";
import type { HandImage } from "../../hand/types.js";
import { type HandShell, parseGrid } from "./shell.js";

const FOLDER = new URL("./shells/", import.meta.url);
const LIST = z.array(
  z.strictObject({
    name: z.string().regex(/^[a-z0-9-]{1,40}$/),
    kind: z.enum(["PALM", "BACK", "FIST", "TWO_HANDS", "OUTSIDE", "NEAR", "FAR", "EMPTY"]),
    side: z.enum(["LEFT", "RIGHT"]),
    look: z.enum(["VISIBLE", "NIR"]),
    hands: z.number().int().min(0),
  }),
);

/** Decodes all shells; a second of work and 30 MB, so keep the result. @param wanted only these, to save both */
export async function openShells(
  wanted: (shell: Omit<HandShell, "image" | "grid">) => boolean = () => true,
): Promise<readonly HandShell[]> {
  const list = LIST.parse(JSON.parse(await readFile(new URL("shells.json", FOLDER), "utf8")));
  return Promise.all(
    list.filter(wanted).map(async ({ name, kind, side, look, hands }) => {
      const image = await decode(await readFile(new URL(`${name}.jpg`, FOLDER)), look);
      const shell = { name, kind, side, look, image };
      return hands === 0
        ? shell
        : { ...shell, grid: parseGrid(await readFile(new URL(`${name}.grid`, FOLDER))) };
    }),
  );
}

async function decode(jpeg: Uint8Array, look: HandShell["look"]): Promise<HandImage> {
  const space = look === "NIR" ? "b-w" : "srgb";
  const { data, info } = await sharp(jpeg).toColourspace(space).raw().toBuffer({ resolveWithObject: true });
  if (info.channels !== 1 && info.channels !== 3) throw new Error(`a shell has ${info.channels} channels`);
  return { width: info.width, height: info.height, channels: info.channels, pixels: data };
}
