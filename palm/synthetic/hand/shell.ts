// A shell: a rendered hand without palm lines, and a map of where its palm's skin lies in the picture. Pure.
//
// Skin coordinates: the palm's skin square is the unit square, fixed to the anatomy: in every shell of a side the same
// (u, v) is the same spot of skin. u to the right, v down, fingers up, as in a region of interest. The map is a grid of
// nodes over the square and a margin around it; between nodes it is linear.
import type { HandImage, HandSide, Point, Quad } from "../../hand/types.js";

export const GRID_NODES = 33;
/** The grid reaches past the square by that share of its side, all around. */
export const GRID_MARGIN = 0.3;
const CELLS = GRID_NODES - 1;
const NODES = GRID_NODES * GRID_NODES;
const SPAN = 1 + 2 * GRID_MARGIN;
const SUBPIXELS = 16;
const ABSENT = -32768;
const GRID_BYTES = 5 * NODES;

/** Row by row from the upper left; x is NaN where the node is not on the hand. */
export interface SkinGrid {
  x: Float32Array;
  y: Float32Array;
  /** How much of the palm shows there, 0..1: 0 beside it and where a finger hides it. */
  weight: Float32Array;
}

/** PALM: a finder must find it. The others end in a reason. */
export type ShellKind = "PALM" | "BACK" | "FIST" | "TWO_HANDS" | "OUTSIDE" | "NEAR" | "FAR" | "EMPTY";
export type Look = "VISIBLE" | "NIR";

export interface HandShell {
  name: string;
  kind: ShellKind;
  side: HandSide;
  look: Look;
  image: HandImage;
  /** None where there is no hand. */
  grid?: SkinGrid;
}

/** @param bytes a .grid file as model/hands/make.mjs writes it */
export function parseGrid(bytes: Uint8Array): SkinGrid {
  if (bytes.length !== GRID_BYTES) throw new Error(`a grid has ${GRID_BYTES} bytes, not ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const read = (from: number) =>
    Float32Array.from({ length: NODES }, (_, i) => {
      const value = view.getInt16(from + 2 * i, true);
      return value === ABSENT ? Number.NaN : value / SUBPIXELS;
    });
  return {
    x: read(0),
    y: read(2 * NODES),
    weight: Float32Array.from(bytes.subarray(4 * NODES), (value) => value / 255),
  };
}

/** Where a spot of skin lies in the image; undefined beside the hand. */
export function imageOfSkin(grid: SkinGrid, { x: u, y: v }: Point): Point | undefined {
  const [column, row] = [u, v].map((value) => ((value + GRID_MARGIN) / SPAN) * CELLS) as [number, number];
  const [left, top] = [column, row].map((value) => Math.min(CELLS - 1, Math.max(0, Math.floor(value)))) as [
    number,
    number,
  ];
  const [right, down] = [column - left, row - top];
  const blend = (values: Float32Array) => {
    const at = (dx: number, dy: number) => values[(top + dy) * GRID_NODES + left + dx] as number;
    // A corner that does not count must not spoil the others by being no number.
    const upper = right === 0 ? at(0, 0) : (1 - right) * at(0, 0) + right * at(1, 0);
    if (down === 0) return upper;
    return (1 - down) * upper + down * (right === 0 ? at(0, 1) : (1 - right) * at(0, 1) + right * at(1, 1));
  };
  const point = { x: blend(grid.x), y: blend(grid.y) };
  return Number.isNaN(point.x + point.y) ? undefined : point;
}

/** True corners of the skin square in the image; undefined where one of them is not on the hand. */
export function skinCorners(grid: SkinGrid): Quad | undefined {
  const [a, b, c, d] = [
    { x: 0, y: 0 },
    { x: 1, y: 0 },
    { x: 1, y: 1 },
    { x: 0, y: 1 },
  ].map((corner) => imageOfSkin(grid, corner));
  return a && b && c && d ? [a, b, c, d] : undefined;
}
