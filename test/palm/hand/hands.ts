// What the tests of hands share: pictures made of pictures, and where a crop lies on the skin.
import sharp, { type Sharp } from "sharp";
import type { HandImage, Quad } from "../../../palm/hand/index.js";

export const rawOf = ({ width, height, channels, pixels }: HandImage): Sharp =>
  sharp(Buffer.from(pixels), { raw: { width, height, channels } });

export async function madeOf(picture: Sharp): Promise<HandImage> {
  const { data, info } = await picture.removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const channels = info.channels === 1 ? 1 : 3;
  return { width: info.width, height: info.height, channels, pixels: new Uint8Array(data) };
}

/** The crop's corners in the frame of the true ones (as if the palm were flat and the camera far): u, v each. */
export function onSkin(corners: Quad, [origin, right, , down]: Quad): number[] {
  const [ax, ay] = [right.x - origin.x, right.y - origin.y];
  const [bx, by] = [down.x - origin.x, down.y - origin.y];
  const area = ax * by - ay * bx;
  return corners.flatMap(({ x, y }) => {
    const [dx, dy] = [x - origin.x, y - origin.y];
    return [(dx * by - dy * bx) / area, (ax * dy - ay * dx) / area];
  });
}

/** Of the columns of `rows`: the largest standard deviation. */
export function largestStray(rows: readonly number[][]): number {
  const columns = (rows[0] ?? []).map((_, i) => rows.map((row) => row[i] ?? Number.NaN));
  return Math.max(
    ...columns.map((values) => {
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
    }),
  );
}
