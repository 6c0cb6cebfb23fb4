// What a lane with a camera shows to operators; registered by ../metrics.ts with the rest.
import { Counter, Histogram, type Registry } from "prom-client";
import type { Guidance } from "../../palm/hand/judge.js";

export interface CameraCounters {
  /** `overwritten`: a newer image came before anybody had read this one. */
  image(result: "read" | "overwritten"): void;
  restart(): void;
  look(lookMs: number): void;
  guide(reason: Guidance): void;
}

/** The budgets of finding, tracked (12 ms) and searched (25 ms), lie between buckets. */
const LOOK_BUCKETS_S = [0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 1];

const REASONS: Readonly<Record<Guidance, true>> = {
  TOO_DARK: true,
  TOO_BRIGHT: true,
  BLURRED: true,
  LOW_CONTRAST: true,
  HOLD_STILL: true,
  CLOSER: true,
  FARTHER: true,
  CENTRE_HAND: true,
  OPEN_HAND: true,
  SHOW_PALM: true,
  ONE_HAND: true,
  HOLD_FLAT: true,
  NO_HAND: true,
};

export function openCameraCounters(registry: Registry): CameraCounters {
  const registers = [registry];
  const images = new Counter({
    name: "palmgate_agent_camera_frames_total",
    help: "Images of the camera by what became of them",
    labelNames: ["result"],
    registers,
  });
  for (const result of ["read", "overwritten"]) images.inc({ result }, 0);
  const restarts = new Counter({
    name: "palmgate_agent_camera_restarts_total",
    help: "Times the camera's ffmpeg was started again",
    registers,
  });
  const looks = new Histogram({
    name: "palmgate_agent_sight_seconds",
    help: "Finding, cutting and judging a hand in one image",
    buckets: LOOK_BUCKETS_S,
    registers,
  });
  const guides = new Counter({
    name: "palmgate_agent_guides_total",
    help: "What people were asked to do",
    labelNames: ["reason"],
    registers,
  });
  for (const reason of Object.keys(REASONS)) guides.inc({ reason }, 0);
  return {
    image: (result) => images.inc({ result }),
    restart: () => restarts.inc(),
    look: (lookMs) => looks.observe(lookMs / 1000),
    guide: (reason) => guides.inc({ reason }),
  };
}
