// What is drawn over the camera's picture: the hand as it was found, so that a person sees what the machine sees.
// The canvas covers the video; both are mirrored by the style sheet where the camera is a mirror, so nothing is here.
import type { FoundHand, Point } from "../palm/hand/index.js";

/** Says how good things are; each has its own line width and dash too, for those who do not see the colour. */
export type Tone = "waiting" | "guide" | "good";

const FINGERS: readonly (readonly number[])[] = [
  [0, 1, 2, 3, 4],
  [0, 5, 6, 7, 8],
  [5, 9, 10, 11, 12],
  [9, 13, 14, 15, 16],
  [13, 17, 18, 19, 20],
  [0, 17],
];

const STYLES: Record<Tone, { colour: string; widthPx: number; dashPx: readonly number[] }> = {
  waiting: { colour: "#ffffffb0", widthPx: 2, dashPx: [4, 6] },
  guide: { colour: "#f5b942", widthPx: 3, dashPx: [10, 6] },
  good: { colour: "#4ade80", widthPx: 4, dashPx: [] },
};

export interface FrameSize {
  width: number;
  height: number;
}

export class HandOverlay {
  readonly #canvas: HTMLCanvasElement;

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
  }

  /** @param frame the size of the image in which the hand was found */
  show(frame: FrameSize, hand: FoundHand | undefined, tone: Tone): void {
    const context = this.#cleared(frame);
    if (!context || !hand) return;
    const { colour, widthPx, dashPx } = STYLES[tone];
    context.strokeStyle = colour;
    context.lineWidth = widthPx;
    context.lineJoin = "round";
    context.lineCap = "round";
    for (const finger of FINGERS)
      drawLine(
        context,
        finger.map((index) => hand.landmarks[index]),
        false,
      );
    context.setLineDash([...dashPx]);
    drawLine(context, hand.corners, true);
    context.setLineDash([]);
  }

  clear(): void {
    this.#cleared({ width: this.#canvas.width, height: this.#canvas.height });
  }

  #cleared({ width, height }: FrameSize): CanvasRenderingContext2D | null {
    const canvas = this.#canvas;
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const context = canvas.getContext("2d");
    context?.clearRect(0, 0, width, height);
    return context;
  }
}

/** Points that are not there (the contour path has no landmarks) are left out. */
function drawLine(
  context: CanvasRenderingContext2D,
  points: readonly (Point | undefined)[],
  isClosed: boolean,
): void {
  context.beginPath();
  for (const point of points) if (point) context.lineTo(point.x, point.y);
  if (isClosed) context.closePath();
  context.stroke();
}
