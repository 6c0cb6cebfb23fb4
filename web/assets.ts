// Where the page's other files lie. The build puts in their names, which change with their content, so that a browser
// may keep each for ever (scripts/build-web.mjs).

interface Assets {
  sightWorker: string;
  wasm: string;
  palmDetection: string;
  handLandmarks: string;
}

declare const PALMGATE_ASSETS: Assets;

export const ASSETS: Readonly<Assets> = PALMGATE_ASSETS;
