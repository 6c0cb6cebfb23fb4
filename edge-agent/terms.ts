// What a Welcome binds the lane to. Numbers from outside are brought inside bounds here, once, so that no timer and no
// buffer of the agent can be set to nonsense by the other side.
import { edge } from "../wire/edge-codec.js";
import {
  HEARTBEAT_INTERVAL_MS,
  MAX_EDGE_MESSAGE_BYTES,
  MAX_FRAMES_PER_PRESENTATION,
  MAX_IMAGE_SIDE_PX,
  MONEY_DEADLINE_MS,
  PRESENTATION_DEADLINE_MS,
} from "../wire/limits.js";

export interface LaneTerms {
  readonly site: string;
  readonly purpose: edge.Purpose;
  readonly gallery: string;
  /** Engine behind the gateway's socket. */
  readonly transport: string;
  readonly creditLimit: number;
  readonly maxMessageBytes: number;
  readonly maxFramesPerPresentation: number;
  readonly maxImageSidePx: number;
  readonly heartbeatIntervalMs: number;
  readonly presentationDeadlineMs: number;
  /** From a Progress to its Decision. */
  readonly moneyDeadlineMs: number;
}

const within = (value: number | null | undefined, least: number, most: number, fallback: number): number =>
  value ? Math.min(most, Math.max(least, value)) : fallback;

export function readTerms(welcome: edge.Welcome.$Properties): LaneTerms {
  return Object.freeze({
    site: welcome.site ?? "",
    purpose: welcome.purpose ?? edge.Purpose.PURPOSE_UNSPECIFIED,
    gallery: welcome.gallery ?? "",
    transport: welcome.transport ?? "",
    creditLimit: welcome.creditLimit ?? 0,
    maxMessageBytes: within(welcome.maxMessageBytes, 1, 16 * MAX_EDGE_MESSAGE_BYTES, MAX_EDGE_MESSAGE_BYTES),
    maxFramesPerPresentation: within(welcome.maxFramesPerPresentation, 1, 1000, MAX_FRAMES_PER_PRESENTATION),
    maxImageSidePx: within(welcome.maxImageSidePx, 1, 16 * MAX_IMAGE_SIDE_PX, MAX_IMAGE_SIDE_PX),
    heartbeatIntervalMs: within(welcome.heartbeatIntervalMs, 20, 60_000, HEARTBEAT_INTERVAL_MS),
    presentationDeadlineMs: within(welcome.presentationDeadlineMs, 50, 60_000, PRESENTATION_DEADLINE_MS),
    moneyDeadlineMs: within(welcome.moneyDeadlineMs, 50, 60_000, MONEY_DEADLINE_MS),
  });
}
