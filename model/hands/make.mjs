// Makes the shells: hands rendered without palm lines, each with a map of where its palm's skin lies in the picture.
//
// Per scene NAME.jpg and, where there is a hand, NAME.grid: for 33 x 33 nodes x, then y (Int16, little endian, 1/16
// pixel; -32768: not on the hand), then how much of the palm shows (Uint8). shells.json lists them. The same seed gives
// the same shells on the same versions of Chromium, three.js and sharp.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import sharp from "sharp";
import { scenesOf } from "./scenes.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const three = join(here, "..", "..", "node_modules", "three");
const USAGE = `usage: node model/hands/make.mjs --out DIR [--seed 1] [--only TEXT]
Renders the scenes of a seed in headless Chromium (software rendering, some seconds each) and writes the shells.
Run "npm run build" first.
  --out DIR    where the shells go; the committed ones: palm/synthetic/hand/shells
  --seed N     another seed, other poses, lights and rooms (default 1)
  --only TEXT  only scenes whose name contains TEXT; shells.json still lists all
Environment: CHROMIUM, the browser (default /usr/bin/chromium).`;

const SUBPIXELS = 16;
const ABSENT = -32768;
const JPEG_QUALITY = 88;
const SCENE_TIMEOUT_MS = 120_000;
const FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"];
const PAGE = `<!doctype html><script type="importmap">
{"imports": {"three": "/three/build/three.module.js", "three/addons/": "/three/examples/jsm/"}}
</script><script type="module" src="/studio.js"></script>`;

const { values } = parseArgs({
  options: {
    out: { type: "string" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    help: { type: "boolean", default: false },
  },
});
const seed = Number(values.seed);
if (values.help || !values.out || !Number.isSafeInteger(seed)) {
  process.stderr.write(`${USAGE}\n`);
  process.exit(values.help ? 0 : 2);
}

/** The page sees this folder and three.js, nothing else, and no network. */
async function serve(route) {
  const path = normalize(new URL(route.request().url()).pathname);
  if (path === "/") return route.fulfill({ contentType: "text/html", body: PAGE });
  const file = path.startsWith("/three/") ? join(three, path.slice("/three".length)) : join(here, path);
  const contentType = file.endsWith(".js") ? "text/javascript" : "application/octet-stream";
  return route.fulfill({ contentType, body: readFileSync(file) });
}

function gridFile(grid) {
  const buffer = Buffer.alloc(grid.length * 5);
  grid.forEach((node, i) => {
    buffer.writeInt16LE(node ? Math.round(node.x * SUBPIXELS) : ABSENT, 2 * i);
    buffer.writeInt16LE(node ? Math.round(node.y * SUBPIXELS) : ABSENT, 2 * (grid.length + i));
    buffer.writeUInt8(node ? Math.round(255 * node.weight) : 0, 4 * grid.length + i);
  });
  return buffer;
}

async function write(scene, { picture, grid }) {
  const png = Buffer.from(picture.slice(picture.indexOf(",") + 1), "base64");
  const image =
    scene.look === "NIR" ? sharp(png).removeAlpha().toColourspace("b-w") : sharp(png).removeAlpha();
  const jpeg = await image
    .jpeg({ quality: JPEG_QUALITY, chromaSubsampling: "4:2:0", mozjpeg: true })
    .toBuffer();
  writeFileSync(join(values.out, `${scene.name}.jpg`), jpeg);
  if (grid.length > 0) writeFileSync(join(values.out, `${scene.name}.grid`), gridFile(grid));
}

mkdirSync(values.out, { recursive: true });
const scenes = scenesOf(seed);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: FLAGS,
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(SCENE_TIMEOUT_MS);
  page.on("pageerror", (error) => process.stderr.write(`${error}\n`));
  await page.route("**/*", serve);
  await page.goto("http://studio.invalid/");
  await page.waitForFunction("window.studio !== undefined");
  for (const scene of scenes.filter(({ name }) => name.includes(values.only))) {
    await write(scene, await page.evaluate((spec) => window.studio.render(spec), scene.spec));
    process.stderr.write(`${scene.name}\n`);
  }
} finally {
  await browser.close();
}
const list = scenes.map(({ name, kind, side, look, spec }) => ({
  name,
  kind,
  side,
  look,
  hands: spec.hands.length,
}));
writeFileSync(join(values.out, "shells.json"), `${JSON.stringify(list, null, 2)}\n`);
