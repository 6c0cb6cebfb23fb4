// Grid codes: the directions of a palm's lines at 16 x 16 points, two bits each, in 333 looks: turned, scaled and moved as
// the cut of a palm may err.
//
// Two bits a direction as Kong and Zhang have three ("Competitive coding scheme for palmprint verification", ICPR 2004);
// bits that lie near an axis are the least sure, and a template's mask leaves them out (Hollingsworth, Bowyer and Flynn,
// "The best bits in an iris code", PAMI 2009).
//
// Invariants: codes depend on the field only; a point beyond the crop or not shown has no bit; a mask has MASK_BITS bits.

/** Points of the field on one side, each between four pixels of 64. */
const FIELD_SIDE = 63;
const FIELD_POINTS = FIELD_SIDE * FIELD_SIDE;
const FIELD_NUMBERS = 2 * FIELD_POINTS;
const FIELD_PX = 64;
const FIRST_POINT_PX = 1;

/** Three running sums over five points are near a Gaussian of 2.45 points (central limit). */
const BLUR_REACH_POINTS = 2;
const BLUR_TIMES = 3;

const GRID_SIDE = 16;
const GRID_POINTS = GRID_SIDE * GRID_SIDE;
/** A word has 16 points, the first one highest: whether y > 0 in its upper half, x > 0 in its lower one. */
const WORD_POINTS = 16;
const GRID_WORDS = GRID_POINTS / WORD_POINTS;
const X_BIT = 1;
const Y_BIT = 1 << WORD_POINTS;
/** Of 512 bits those that are surest: 70 %. */
export const MASK_BITS = 358;

const TURNS = [0, -10, 10].map((degrees) => (degrees * Math.PI) / 180);
const SCALES = [0, -0.15, 0.15].map(Math.exp);
/** A hexagonal grid of shifts, in sides of the crop. */
const SHIFT_STEP = 0.06;
const SHIFT_REACH = 0.18;

interface Look {
  /** Of TURNS. */
  turn: number;
  /** By point of the grid, the field's nearest; FIELD_POINTS where that lies beyond the crop. */
  points: Uint16Array;
}

const LOOKS: readonly Look[] = SCALES.flatMap((scale) =>
  TURNS.flatMap((angle, turn) =>
    shifts().map((shift) => ({ turn, points: nearestPoints(angle, scale, shift) })),
  ),
);

/**
 * @param field [2, 63, 63]: cosine and sine of the doubled direction across the lines; both 0 where nothing is shown
 * @param write gets each look's number and its bits, good during the call
 * @returns the mask of the first look, which is that of a template
 */
export function gridCodes(
  field: Float32Array,
  write: (look: number, bits: Uint32Array) => void,
): Uint32Array {
  if (field.length !== FIELD_NUMBERS) throw new RangeError(`a field has ${FIELD_NUMBERS} numbers`);
  const blurred = blur(field);
  const quadrants = TURNS.map((angle) => quadrantsOf(blurred, angle));
  const bits = new Uint32Array(GRID_WORDS);
  for (const [look, { turn, points }] of LOOKS.entries()) {
    draw(bits, quadrants[turn] as Uint32Array, points);
    write(look, bits);
  }
  const mask = maskOf(blurred, (LOOKS[0] as Look).points);
  for (const used of [blurred, ...quadrants, bits]) used.fill(0);
  return mask;
}

/** How many looks there are. */
export const GRID_LOOKS_MADE = LOOKS.length;

/** Two bits of every point, of the direction turned back: x > 0, y > 0; none for the point beyond. */
function quadrantsOf(field: Float32Array, angle: number): Uint32Array {
  const quadrants = new Uint32Array(FIELD_POINTS + 1);
  const [cosine, sine] = [Math.cos(2 * angle), Math.sin(2 * angle)];
  for (let point = 0; point < FIELD_POINTS; point++) {
    const x = field[point] as number;
    const y = field[point + FIELD_POINTS] as number;
    quadrants[point] = (cosine * x + sine * y > 0 ? X_BIT : 0) | (cosine * y - sine * x > 0 ? Y_BIT : 0);
  }
  return quadrants;
}

function draw(bits: Uint32Array, quadrants: Uint32Array, points: Uint16Array): void {
  for (let word = 0, at = 0; word < GRID_WORDS; word++) {
    let both = 0;
    for (let i = 0; i < WORD_POINTS; i++, at++) {
      both = (both << 1) | (quadrants[points[at] as number] as number);
    }
    bits[word] = both;
  }
}

/** The MASK_BITS components that are longest; of equals the earlier ones. */
function maskOf(field: Float32Array, points: Uint16Array): Uint32Array {
  const lengths = new Float32Array(2 * GRID_POINTS);
  for (let at = 0; at < GRID_POINTS; at++) {
    const point = points[at] as number;
    if (point === FIELD_POINTS) continue;
    lengths[at] = Math.abs(field[point] as number);
    lengths[at + GRID_POINTS] = Math.abs(field[point + FIELD_POINTS] as number);
  }
  const least = lengths.slice().sort()[lengths.length - MASK_BITS] as number;
  let equals = MASK_BITS - lengths.reduce((longer, length) => longer + (length > least ? 1 : 0), 0);
  const mask = new Uint32Array(GRID_WORDS);
  for (let at = 0; at < lengths.length; at++) {
    const length = lengths[at] as number;
    if (length < least || (length === least && equals-- <= 0)) continue;
    const point = at % GRID_POINTS;
    const bit = (at < GRID_POINTS ? X_BIT : Y_BIT) << (WORD_POINTS - 1 - (point % WORD_POINTS));
    const word = Math.floor(point / WORD_POINTS);
    mask[word] = (mask[word] as number) | bit;
  }
  lengths.fill(0);
  return mask;
}

/** Sums about every point, BLUR_TIMES over; beyond the field there is nothing. */
function blur(field: Float32Array): Float32Array {
  const sums = field.slice();
  const line = new Float32Array(FIELD_SIDE);
  for (let time = 0; time < BLUR_TIMES; time++) {
    for (let row = 0; row < 2 * FIELD_SIDE; row++) slide(sums, line, row * FIELD_SIDE, 1);
    for (let part = 0; part < FIELD_NUMBERS; part += FIELD_POINTS) {
      for (let column = 0; column < FIELD_SIDE; column++) slide(sums, line, part + column, FIELD_SIDE);
    }
  }
  line.fill(0);
  return sums;
}

/** Sums of BLUR_REACH_POINTS to both sides along one line, from `first` on, `step` apart, in place. */
function slide(numbers: Float32Array, line: Float32Array, first: number, step: number): void {
  for (let i = 0, at = first; i < FIELD_SIDE; i++, at += step) line[i] = numbers[at] as number;
  let sum = 0;
  for (let i = 0; i < BLUR_REACH_POINTS; i++) sum += line[i] as number;
  for (let i = 0, at = first; i < FIELD_SIDE; i++, at += step) {
    if (i + BLUR_REACH_POINTS < FIELD_SIDE) sum += line[i + BLUR_REACH_POINTS] as number;
    numbers[at] = sum;
    if (i >= BLUR_REACH_POINTS) sum -= line[i - BLUR_REACH_POINTS] as number;
  }
}

/** The nearest first. */
function shifts(): { right: number; down: number }[] {
  const reach = Math.ceil(SHIFT_REACH / SHIFT_STEP) + 1;
  const steps = Array.from({ length: 2 * reach + 1 }, (_, i) => i - reach);
  return steps
    .flatMap((row) =>
      steps.map((column) => ({
        right: SHIFT_STEP * (column + (row % 2 === 0 ? 0 : 0.5)),
        down: (SHIFT_STEP * row * Math.sqrt(3)) / 2,
      })),
    )
    .filter(({ right, down }) => Math.hypot(right, down) < SHIFT_REACH + SHIFT_STEP / 100)
    .sort((a, b) => Math.hypot(a.right, a.down) - Math.hypot(b.right, b.down));
}

function nearestPoints(turn: number, scale: number, shift: { right: number; down: number }): Uint16Array {
  const [a, b] = [scale * Math.cos(turn), scale * Math.sin(turn)];
  return Uint16Array.from({ length: GRID_POINTS }, (_, point) => {
    const right = ((point % GRID_SIDE) + 0.5) / GRID_SIDE - 0.5 + shift.right;
    const down = (Math.floor(point / GRID_SIDE) + 0.5) / GRID_SIDE - 0.5 + shift.down;
    const x = Math.round((a * right - b * down + 0.5) * FIELD_PX - FIRST_POINT_PX);
    const y = Math.round((b * right + a * down + 0.5) * FIELD_PX - FIRST_POINT_PX);
    const inside = x >= 0 && y >= 0 && x < FIELD_SIDE && y < FIELD_SIDE;
    return inside ? y * FIELD_SIDE + x : FIELD_POINTS;
  });
}
