// A contact sheet of synthetic palms: one row for each palm, one tile for each sample, to be looked at.
//
//   node dist/bench/contact-sheet.js [--palms N] [--samples N] [--out FILE]
import sharp from "sharp";
import { z } from "zod";
import { renderSample, synthesiseIdentity } from "../palm/index.js";
import { helpText, readSettings, type Settings } from "../wire/config.js";

const SETTINGS = {
  palms: {
    option: "palms",
    value: "N",
    help: "rows",
    schema: z.coerce.number().int().min(1).max(64).default(8),
  },
  samples: {
    option: "samples",
    value: "N",
    help: "tiles in a row",
    schema: z.coerce.number().int().min(1).max(64).default(4),
  },
  out: {
    option: "out",
    value: "FILE",
    help: "PNG to write",
    schema: z.string().default("synthetic-palms.png"),
  },
} as const satisfies Settings;

const TILE_PX = 128;
const GAP_PX = 4;
const BACKGROUND = { r: 255, g: 255, b: 255 };

async function run(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    const purpose = "Draws synthetic palms: a row for each palm, a tile for each sample of it.";
    process.stdout.write(helpText("node dist/bench/contact-sheet.js [options]", purpose, SETTINGS));
    return 0;
  }
  const { palms, samples, out } = readSettings(SETTINGS, argv);
  const at = (index: number) => GAP_PX + index * (TILE_PX + GAP_PX);
  const tiles = Array.from({ length: palms * samples }, (_, i) => {
    const [row, column] = [Math.floor(i / samples), i % samples];
    const { width, height, pixels } = renderSample(synthesiseIdentity(row), { seed: column });
    return {
      input: Buffer.from(pixels),
      raw: { width, height, channels: 1 as const },
      left: at(column),
      top: at(row),
    };
  });
  const sheet = { width: at(samples), height: at(palms), channels: 3 as const, background: BACKGROUND };
  await sharp({ create: sheet })
    .composite(tiles)
    .toColourspace("b-w")
    .png({ compressionLevel: 9 })
    .toFile(out);
  process.stderr.write(`${out}\n`);
  return 0;
}

process.exitCode = await run(process.argv.slice(2));
