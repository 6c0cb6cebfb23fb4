// Chromium with a camera that shows a file, or the browser's own test picture.
import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--use-fake-device-for-media-stream",
];

export interface CameraOptions {
  /** .mjpeg or .y4m, shown again and again; none: a green picture in which nothing is a hand. */
  film?: string;
  /** What the person answers when the page asks for the camera. */
  answer?: "allow" | "deny";
}

export function openChromium({ film, answer = "allow" }: CameraOptions = {}): Promise<Browser> {
  if (!existsSync(executablePath)) {
    throw new Error(
      `no Chromium at ${executablePath}: run 'node scripts/setup.mjs --tests', or set CHROMIUM`,
    );
  }
  const prompt = answer === "allow" ? "--use-fake-ui-for-media-stream" : "--deny-permission-prompts";
  const camera = film === undefined ? [] : [`--use-file-for-fake-video-capture=${film}`];
  return chromium.launch({ executablePath, args: [...FLAGS, prompt, ...camera] });
}

/** Everything that went wrong in a page, and everything it asked for. */
export interface Watched {
  problems: string[];
  requests: string[];
}

export function watchPage(page: Page): Watched {
  const watched: Watched = { problems: [], requests: [] };
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") watched.problems.push(message.text());
  });
  page.on("pageerror", (error) => watched.problems.push(error.message));
  page.on("request", (request) => watched.requests.push(request.url()));
  return watched;
}
