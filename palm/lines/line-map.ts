// Line maps: where lines run on a palm, a few bits a cell, so that two palms can be laid onto each other and compared
// cell by cell. The second stage of a search: the vector finds candidates, line maps tell them apart.
//
// A map is drawn twice over the straightened crop: in 32 x 32 cells, and in 16 x 16 from the field averaged about each
// cell. Three planes say on which side of three axes the direction of the lines in a cell lies (directions doubled, so
// that a line has no head; the planes of neighbours differ in one bit, those of lines at right angles in all three: the
// binding of Kong and Zhang, "Competitive coding scheme for palmprint verification", ICPR 2004), a fourth which cells
// the picture shows. A row of cells is one word of 32 or of 16 bits, bit x the cell in column x.
//
// A probe has a map for each of 25 poses: turned and scaled as an aligner may have erred. Shifts are tried when maps are
// compared. A template keeps the first map only, that of the palm as it lies.
//
// Invariants: maps depend on the field only; a cell that is not shown has no bit in any plane.

/** Cells on one side. */
export const FINE_SIDE = 32;
export const COARSE_SIDE = 16;
/** Planes that say how lines run. */
export const DIRECTION_PLANES = 3;
/** Those, and the one of cells shown. */
export const MAP_PLANES = DIRECTION_PLANES + 1;
/** The fine planes one after another, a word a row; then the coarse ones, two rows a word, the even one low. */
const FINE_WORDS = MAP_PLANES * FINE_SIDE;
export const MAP_WORDS = FINE_WORDS + (MAP_PLANES * COARSE_SIDE) / 2;

// Some two and a half times the deviation of an aligner's errors; half a step moves the rim by half a cell.
const TURNS = [-12, -6, 0, 6, 12].map((degrees) => (degrees * Math.PI) / 180);
const LOG_SCALES = [-0.2, -0.1, 0, 0.1, 0.2];

interface Pose {
  turn: number;
  scale: number;
}

const POSES: readonly Pose[] = LOG_SCALES.flatMap((logScale) =>
  TURNS.map((turn) => ({ turn, scale: Math.exp(logScale) })),
).sort((a, b) => amount(a) - amount(b));

/** Poses that a probe has a map of; the first is none. */
export const PROBE_POSES = POSES.length;
export const PROBE_WORDS = PROBE_POSES * MAP_WORDS;

/** Points of the field on one side: between all neighbours of the 64 x 64 pixels that the line filters see. */
export const FIELD_SIDE = 63;
const FIELD_POINTS = FIELD_SIDE * FIELD_SIDE;
export const FIELD_NUMBERS = 2 * FIELD_POINTS;
/** Such a point lies this far from the crop's edge, in pixels of 64; the next ones a pixel further each. */
const FIRST_POINT_PX = 1;
const FIELD_PX = 64;
/** Points about a coarse cell's middle, to all sides, that are averaged. */
const COARSE_REACH_POINTS = 2;

/** The point beyond the crop: it comes after all others, and is not shown. */
const BEYOND = FIELD_POINTS;

/** By pose and cell: the field's nearest point. */
const FINE_POINTS = POSES.map((pose) => nearestPoints(pose, FINE_SIDE));
const COARSE_POINTS = POSES.map((pose) => nearestPoints(pose, COARSE_SIDE));

/** Doubled directions are told apart by 6 degrees: the edges of all planes, in all turns, lie on multiples of that. */
const DIRECTIONS = 60;
/** Instead of a direction: nothing is shown. */
const NOT_SHOWN = DIRECTIONS;
/** Of the bits of a cell: one for each direction plane, then this one. */
const SHOWN = 1 << DIRECTION_PLANES;
/** By pose and direction: the bits of a cell. */
const CELL_BITS = POSES.map(({ turn }) => cellBits(turn));

/**
 * @param field [2, 63, 63]: cosine and sine of the doubled direction across the lines, as long as there is a line; both
 * 0 where the picture does not show the palm
 * @returns the maps of all poses, PROBE_WORDS; the caller's to wipe
 */
export function lineMaps(field: Float32Array): Uint32Array {
  if (field.length !== FIELD_NUMBERS) throw new RangeError(`a field has ${FIELD_NUMBERS} numbers`);
  const maps = new Uint32Array(PROBE_WORDS);
  const averaged = averages(field);
  const fine = directionsOf(field);
  const coarse = directionsOf(averaged);
  for (let pose = 0; pose < PROBE_POSES; pose++) {
    const bits = CELL_BITS[pose] as Uint8Array;
    const words = maps.subarray(pose * MAP_WORDS, (pose + 1) * MAP_WORDS);
    const halfWords = new Uint16Array(words.buffer, words.byteOffset + FINE_WORDS * words.BYTES_PER_ELEMENT);
    draw(words, FINE_SIDE, fine, FINE_POINTS[pose] as Uint16Array, bits);
    draw(halfWords, COARSE_SIDE, coarse, COARSE_POINTS[pose] as Uint16Array, bits);
  }
  for (const used of [averaged, fine, coarse]) used.fill(0);
  return maps;
}

/** On which side of each plane's axis a direction lies, from its middle; the axes turn with the pose. */
function cellBits(turn: number): Uint8Array {
  const bits = new Uint8Array(DIRECTIONS + 1);
  for (let direction = 0; direction < DIRECTIONS; direction++) {
    bits[direction] = SHOWN;
    const angle = ((direction + 0.5) * 2 * Math.PI) / DIRECTIONS;
    for (let plane = 0; plane < DIRECTION_PLANES; plane++) {
      const axis = (plane * Math.PI) / DIRECTION_PLANES + 2 * turn;
      if (Math.cos(angle - axis) > 0) bits[direction] = (bits[direction] as number) | (1 << plane);
    }
  }
  return bits;
}

/** The direction of every point, 0 .. DIRECTIONS - 1 or NOT_SHOWN, and NOT_SHOWN for the one beyond. */
function directionsOf(field: Float32Array): Uint8Array {
  const directions = new Uint8Array(FIELD_POINTS + 1).fill(NOT_SHOWN);
  for (let point = 0; point < FIELD_POINTS; point++) {
    const x = field[point] as number;
    const y = field[point + FIELD_POINTS] as number;
    if (x !== 0 || y !== 0) directions[point] = directionOf(x, y);
  }
  return directions;
}

/** Arc tangent by Abramowitz and Stegun, 4.4.49: to 1e-5 radians, several times as fast as the one built in. */
function directionOf(x: number, y: number): number {
  const [across, along] = [Math.abs(x), Math.abs(y)];
  const r = Math.min(across, along) / Math.max(across, along);
  const s = r * r;
  const octant = r * (0.999866 + s * (-0.3302995 + s * (0.180141 + s * (-0.085133 + s * 0.0208351))));
  const quadrant = along > across ? Math.PI / 2 - octant : octant;
  const half = x < 0 ? Math.PI - quadrant : quadrant;
  const angle = y < 0 ? 2 * Math.PI - half : half;
  return Math.floor((angle * DIRECTIONS) / (2 * Math.PI)) % DIRECTIONS;
}

/** Four planes of a word a row. */
function draw(
  planes: Uint32Array | Uint16Array,
  side: number,
  directions: Uint8Array,
  points: Uint16Array,
  bits: Uint8Array,
): void {
  for (let row = 0; row < side; row++) {
    let [a, b, c, shown] = [0, 0, 0, 0];
    for (let column = 0, cell = row * side; column < side; column++, cell++) {
      const its = bits[directions[points[cell] as number] as number] as number;
      a |= (its & 1) << column;
      b |= ((its >>> 1) & 1) << column;
      c |= ((its >>> 2) & 1) << column;
      shown |= (its >>> 3) << column;
    }
    planes[row] = a;
    planes[row + side] = b;
    planes[row + 2 * side] = c;
    planes[row + 3 * side] = shown;
  }
}

/** The sum of the field about each point that is shown: its direction is the average's. */
function averages(field: Float32Array): Float32Array {
  const across = new Float32Array(FIELD_NUMBERS);
  const sums = new Float32Array(FIELD_NUMBERS);
  for (let row = 0; row < 2 * FIELD_SIDE; row++) slide(field, across, row * FIELD_SIDE, 1);
  for (let part = 0; part < FIELD_NUMBERS; part += FIELD_POINTS) {
    for (let column = 0; column < FIELD_SIDE; column++) slide(across, sums, part + column, FIELD_SIDE);
  }
  for (let point = 0; point < FIELD_POINTS; point++) {
    if (field[point] === 0 && field[point + FIELD_POINTS] === 0) sums[point] = sums[point + FIELD_POINTS] = 0;
  }
  across.fill(0);
  return sums;
}

/** Sums of COARSE_REACH_POINTS to both sides along one line of FIELD_SIDE numbers, from `first` on, `step` apart. */
function slide(from: Float32Array, to: Float32Array, first: number, step: number): void {
  const last = first + (FIELD_SIDE - 1) * step;
  const reach = COARSE_REACH_POINTS * step;
  let sum = 0;
  for (let at = first; at < first + reach; at += step) sum += from[at] as number;
  for (let at = first; at <= last; at += step) {
    if (at + reach <= last) sum += from[at + reach] as number;
    to[at] = sum;
    if (at - reach >= first) sum -= from[at - reach] as number;
  }
}

function nearestPoints({ turn, scale }: Pose, side: number): Uint16Array {
  const [a, b] = [scale * Math.cos(turn), scale * Math.sin(turn)];
  return Uint16Array.from({ length: side * side }, (_, cell) => {
    const right = ((cell % side) + 0.5) / side - 0.5;
    const down = (Math.floor(cell / side) + 0.5) / side - 0.5;
    const x = Math.round((a * right - b * down + 0.5) * FIELD_PX - FIRST_POINT_PX);
    const y = Math.round((b * right + a * down + 0.5) * FIELD_PX - FIRST_POINT_PX);
    const inside = x >= 0 && y >= 0 && x < FIELD_SIDE && y < FIELD_SIDE;
    return inside ? y * FIELD_SIDE + x : BEYOND;
  });
}

/** How far a pose is from none. */
function amount({ turn, scale }: Pose): number {
  return Math.hypot(turn, Math.log(scale));
}
