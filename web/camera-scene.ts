// Why there is no picture, as a person reads it, with what to do. Pure.
import type { CameraProblem } from "./camera.js";

interface CameraScene {
  tone: "refused";
  headline: string;
  detail: string;
}

const CAMERA_WORDS: Record<CameraProblem, Omit<CameraScene, "tone">> = {
  INSECURE_PAGE: {
    headline: "The camera needs a secure page",
    detail: "Open this page as https, or on the gateway's own machine as http://localhost",
  },
  NOT_ALLOWED: {
    headline: "Please allow the camera",
    detail: "Pictures stay in this browser; only a small cut of the palm is sent",
  },
  NO_CAMERA: { headline: "No camera found", detail: "Connect one, then load this page again" },
  NOT_READABLE: {
    headline: "The camera cannot be used",
    detail: "Close other programs that use it, then load this page again",
  },
};

/** As a scene of either page. */
export const cameraScene = (problem: CameraProblem): CameraScene => ({
  tone: "refused",
  ...CAMERA_WORDS[problem],
});
