// What `--source camera:ADDRESS` names: a V4L2 device, an RTSP stream, or a video file. Pure.
//
// Invariants:
// - an address that passes here can be handed to ffmpeg as one argument: it starts no option, names no other protocol
//   of ffmpeg's (concat:, http:, pipe:, ...) and holds no control character;
// - `shown` is for logs and errors: without the user and the password of an RTSP address, and without its query.
import { resolve } from "node:path";

const MAX_ADDRESS_CHARACTERS = 1024;

export type CameraAddress = { shown: string } & (
  | { kind: "device"; path: string }
  | { kind: "stream"; url: string }
  | { kind: "file"; path: string }
);

export type CameraAddressResult = { ok: true; address: CameraAddress } | { ok: false; why: string };

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused
const CONTROL = /[\u0000-\u001f\u007f]/;
const DEVICE = /^\/dev\/(video\d{1,3}|v4l\/by-(id|path)\/[\w.:+-]{1,200})$/;
/** A scheme of two letters or more; `C:` is none. */
const SCHEME = /^[a-z][a-z0-9+.-]+:/i;

/** @param text what follows `camera:` */
export function cameraAddress(text: string): CameraAddressResult {
  if (text === "" || text.length > MAX_ADDRESS_CHARACTERS) {
    return refused(`must have 1 to ${MAX_ADDRESS_CHARACTERS} characters`);
  }
  if (CONTROL.test(text)) return refused("must not hold control characters");
  if (text.startsWith("-")) return refused("must not start with '-'");
  if (/^rtsps?:/i.test(text)) return streamAddress(text);
  if (DEVICE.test(text)) return { ok: true, address: { kind: "device", path: text, shown: text } };
  if (text.startsWith("/dev/")) return refused("a device must be /dev/videoN or one of /dev/v4l/by-id");
  if (SCHEME.test(text)) return refused("must be /dev/videoN, rtsp://..., rtsps://... or a video file");
  return { ok: true, address: { kind: "file", path: resolve(text), shown: text } };
}

function streamAddress(text: string): CameraAddressResult {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url?.hostname) return refused("must be rtsp://HOST[:PORT]/PATH");
  const shown = `${url.protocol}//${url.host}${url.pathname}`;
  return { ok: true, address: { kind: "stream", url: url.href, shown } };
}

const refused = (why: string): CameraAddressResult => ({ ok: false, why: `the camera's address ${why}` });

/** `text`, as ffmpeg may print it, without what the address holds in secret. */
export function withoutCredentials(text: string, address: CameraAddress): string {
  // Whatever stands before the @ of an address, also of one that a camera redirects to.
  const plain = text.replace(/(\brtsps?:\/\/)[^\s/@]*@/gi, "$1");
  if (address.kind !== "stream") return plain;
  const { username, password, search } = new URL(address.url);
  const secrets = [search.slice(1), password, decoded(password), username, decoded(username)];
  return secrets
    .filter((secret) => secret.length >= MIN_SECRET_CHARACTERS)
    .reduce((rest, secret) => rest.replaceAll(secret, "***"), plain);
}

/** Shorter ones would blot out half of every line, and hide nothing by it. */
const MIN_SECRET_CHARACTERS = 3;

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a lone % stands for itself
  }
}
