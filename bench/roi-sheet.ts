// A contact sheet of crops: one row for each palm, one tile for each image, grey where none was found.
import sharp from "sharp";
import type { GreyImage } from "../palm/index.js";

const TILE_PX = 128;
const GAP_PX = 4;
const BACKGROUND = { r: 128, g: 128, b: 128 };

export async function writeSheet(
  file: string,
  hands: readonly { palm: number; cut?: { roi: GreyImage } }[],
): Promise<void> {
  const rows = new Map<number, (GreyImage | undefined)[]>();
  for (const { palm, cut } of hands) rows.set(palm, [...(rows.get(palm) ?? []), cut?.roi]);
  const columns = Math.max(...[...rows.values()].map((row) => row.length));
  const at = (index: number) => GAP_PX + index * (TILE_PX + GAP_PX);
  const tiles = [...rows.values()].flatMap((row, y) =>
    row.flatMap((roi, x) =>
      roi === undefined
        ? []
        : [
            {
              input: Buffer.from(roi.pixels),
              raw: { width: roi.width, height: roi.height, channels: 1 as const },
              left: at(x),
              top: at(y),
            },
          ],
    ),
  );
  await sharp({ create: { width: at(columns), height: at(rows.size), channels: 3, background: BACKGROUND } })
    .composite(tiles)
    .toColourspace("b-w")
    .png()
    .toFile(file);
}
