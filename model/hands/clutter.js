// Backgrounds of the studio, drawn on a canvas: a plain dark wall, or a cluttered room out of focus. Seeded.

/** Numbers in [0, 1): mulberry32 (Tommy Ettinger). */
function numbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** @param background {kind: "ROOM" | "DARK", seed} */
export function drawBackground({ kind, seed }, width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const random = numbers(seed);
  if (kind === "DARK") drawDark(context, random, width, height);
  else drawRoom(context, random, width, height);
  return canvas;
}

function drawDark(context, random, width, height) {
  const glow = context.createRadialGradient(
    width * (0.3 + 0.4 * random()),
    height * (0.3 + 0.4 * random()),
    0,
    width / 2,
    height / 2,
    width * 0.7,
  );
  const grey = Math.round(10 + 16 * random());
  glow.addColorStop(0, `rgb(${grey},${grey},${grey})`);
  glow.addColorStop(1, "rgb(4,4,4)");
  context.fillStyle = glow;
  context.fillRect(0, 0, width, height);
}

function colour(random, lightness) {
  return `hsl(${Math.floor(random() * 360)} ${Math.floor(8 + random() * 45)}% ${Math.floor(lightness)}%)`;
}

function drawRoom(context, random, width, height) {
  const wall = context.createLinearGradient(0, 0, width * random(), height);
  wall.addColorStop(0, colour(random, 35 + 40 * random()));
  wall.addColorStop(1, colour(random, 20 + 40 * random()));
  context.fillStyle = wall;
  context.fillRect(0, 0, width, height);
  const things = 14 + Math.floor(random() * 16);
  for (let i = 0; i < things; i++) {
    context.save();
    context.filter = `blur(${1 + Math.floor(random() * 7)}px)`;
    context.globalAlpha = 0.45 + 0.55 * random();
    context.translate(random() * width, random() * height);
    context.rotate(random() < 0.6 ? 0 : random() * Math.PI);
    drawThing(context, random, width);
    context.restore();
  }
}

function drawThing(context, random, width) {
  const [w, h] = [width * (0.04 + 0.3 * random()), width * (0.03 + 0.35 * random())];
  const style = random();
  context.fillStyle = colour(random, 8 + 78 * random());
  if (style < 0.45) {
    context.fillRect(-w / 2, -h / 2, w, h);
    context.fillStyle = colour(random, 8 + 78 * random());
    const rows = 1 + Math.floor(random() * 6);
    for (let row = 0; row < rows; row++) {
      context.fillRect(
        -w * 0.4,
        -h * 0.42 + (row * h * 0.86) / rows,
        w * (0.3 + 0.5 * random()),
        (h * 0.3) / rows,
      );
    }
  } else if (style < 0.75) {
    context.beginPath();
    context.ellipse(0, 0, w / 2, h / 3, 0, 0, 2 * Math.PI);
    context.fill();
  } else {
    context.strokeStyle = context.fillStyle;
    context.lineWidth = 2 + random() * 14;
    context.beginPath();
    context.moveTo(-w, -h);
    context.bezierCurveTo(w * random(), -h, -w, h * random(), w, h);
    context.stroke();
  }
}
