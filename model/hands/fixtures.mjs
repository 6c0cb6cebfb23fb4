// Makes pictures of made-up hands from the committed shells: some palms in two sessions with their true corners, and
// what must be refused. `palmgate bench roi --data DIR/palms` runs on the result.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { openShells } from "../../dist/palm/synthetic/hand/node-shells.js";
import { renderHand } from "../../dist/palm/synthetic/hand/render.js";
import { synthesiseIdentity } from "../../dist/palm/synthetic/identity.js";

const USAGE = `usage: node model/hands/fixtures.mjs --out DIR [--seed 1] [--palms 4]
Prints made-up palms onto the committed shells: DIR/palms/<palm>/<session>_<sample>.jpg, DIR/palms/truth.json (true
corners of the skin square, pixels), and what must be refused in DIR/bad/. Run "npm run build" first.
  --out DIR    the committed ones: test/palm/hand/fixtures
  --seed N     other palms (default 1)
  --palms N    how many palms, 6 pictures each (default 4; left and right, visible and NIR by turns)
  --sheet FILE  all of them small in one PNG; the committed one: docs/synthetic-hands.png`;

const KINDS = [
  ["LEFT", "VISIBLE"],
  ["RIGHT", "NIR"],
  ["RIGHT", "VISIBLE"],
  ["LEFT", "NIR"],
];
const SAMPLES_PER_SESSION = 3;
const JPEG_QUALITY = 85;
const MAX_PALMS = 10_000;
const SHEET = { columns: 6, width: 256, height: 192 };
const MAX_SHEET_PICTURES = 240;

const { values } = parseArgs({
  options: {
    out: { type: "string" },
    seed: { type: "string", default: "1" },
    palms: { type: "string", default: "4" },
    sheet: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
const [seed, palms] = [Number(values.seed), Number(values.palms)];
if (values.help || !values.out || !Number.isSafeInteger(seed) || !(palms >= 1 && palms <= MAX_PALMS)) {
  process.stderr.write(`${USAGE}\n`);
  process.exit(values.help ? 0 : 2);
}

const shells = await openShells();
const { out } = values;
const written = [];

async function write(path, { image: { width, height, channels, pixels } }) {
  const picture = sharp(pixels, { raw: { width, height, channels } });
  const file = picture.toColourspace(channels === 1 ? "b-w" : "srgb").jpeg({ quality: JPEG_QUALITY });
  writeFileSync(join(out, path), await file.toBuffer());
  written.push(join(out, path));
}

async function writeSheet(target) {
  const { columns, width, height } = SHEET;
  const files = written.slice(0, MAX_SHEET_PICTURES);
  const tiles = await Promise.all(
    files.map(async (file, at) => ({
      input: await sharp(file).resize(width, height).toColourspace("srgb").png().toBuffer(),
      left: (at % columns) * width,
      top: Math.floor(at / columns) * height,
    })),
  );
  const size = { width: columns * width, height: Math.ceil(files.length / columns) * height };
  const sheet = sharp({ create: { ...size, channels: 3, background: "black" } }).composite(tiles);
  await sheet.png({ palette: true, colours: 128 }).toFile(target);
}

const truth = [];
for (let palm = 0; palm < palms; palm++) {
  const [side, look] = KINDS[palm % KINDS.length];
  const identity = synthesiseIdentity(seed * MAX_PALMS + palm);
  const name = `${side}-${look}-${palm + 1}`.toLowerCase();
  mkdirSync(join(out, "palms", name), { recursive: true });
  const fitting = shells.filter(
    (shell) => shell.kind === "PALM" && shell.side === side && shell.look === look,
  );
  for (const [at, shell] of fitting.entries()) {
    const [session, sample] = [1 + Math.floor(at / SAMPLES_PER_SESSION), 1 + (at % SAMPLES_PER_SESSION)];
    const path = `${name}/${session}_${sample}.jpg`;
    const hand = renderHand(identity, shell, { seed: seed * MAX_PALMS + palm * 100 + at });
    if (!hand.corners) throw new Error(`${shell.name} shows no whole palm`);
    await write(join("palms", path), hand);
    truth.push([path, { corners: hand.corners.map(({ x, y }) => [x, y]), side }]);
  }
}
mkdirSync(join(out, "bad"), { recursive: true });
for (const shell of shells.filter(({ kind }) => !["PALM", "NEAR", "FAR"].includes(kind))) {
  await write(`bad/${shell.name}.jpg`, renderHand(synthesiseIdentity(seed), shell, { seed }));
}
writeFileSync(join(out, "palms", "truth.json"), `${JSON.stringify(Object.fromEntries(truth), null, 2)}\n`);
if (values.sheet) await writeSheet(values.sheet);
