// Random smooth fields of line directions, known at every point: what line maps are drawn from in tests. Seeded.
import { FIELD_NUMBERS, FIELD_SIDE } from "../../../palm/lines/line-map.js";
import { seededRandom } from "../../../palm/synthetic/random.js";

/** How a palm lies in the crop: turned (radians), enlarged, then moved (points of the field), about the middle. */
export interface Lie {
  turn?: number;
  scale?: number;
  right?: number;
  down?: number;
}

const WAVES = 20;
/** Of a wave, in radians per point. */
const FINEST = 0.3;
const MIDDLE = (FIELD_SIDE - 1) / 2;

/** @returns the field of a palm that lies so; the same palm for the same seed */
export function smoothField(seed: number, lie: Lie = {}): Float32Array {
  const { turn = 0, scale = 1, right = 0, down = 0 } = lie;
  const random = seededRandom(seed);
  const waves = Array.from({ length: 2 * WAVES }, () => {
    const [fineness, towards] = [FINEST * Math.sqrt(random.next()), random.between(0, 2 * Math.PI)];
    return {
      x: fineness * Math.cos(towards),
      y: fineness * Math.sin(towards),
      at: random.between(0, 2 * Math.PI),
    };
  });
  const sum = (from: number, x: number, y: number) =>
    waves
      .slice(from, from + WAVES)
      .reduce((all, wave) => all + Math.cos(wave.x * x + wave.y * y + wave.at), 0);
  const field = new Float32Array(FIELD_NUMBERS);
  const half = FIELD_NUMBERS / 2;
  for (let point = 0; point < half; point++) {
    const x = ((point % FIELD_SIDE) - MIDDLE - right) / scale;
    const y = (Math.floor(point / FIELD_SIDE) - MIDDLE - down) / scale;
    const [onX, onY] = [x * Math.cos(turn) + y * Math.sin(turn), y * Math.cos(turn) - x * Math.sin(turn)];
    const [cosine, sine] = [sum(0, onX, onY), sum(WAVES, onX, onY)];
    field[point] = cosine * Math.cos(2 * turn) - sine * Math.sin(2 * turn);
    field[point + half] = cosine * Math.sin(2 * turn) + sine * Math.cos(2 * turn);
  }
  return field;
}
