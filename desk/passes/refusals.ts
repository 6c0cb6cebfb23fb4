// What is answered when a pass may not be used, or the site file knows nothing of what it is for.
import { type Refused, refuse } from "../api/answer.js";
import type { SiteFile } from "../sites.js";
import type { PassRefusal } from "./passes.js";

const WHY: Record<PassRefusal, string> = {
  PASS_UNKNOWN: "There is no such pass.",
  PASS_EXPIRED: "The pass has expired.",
  PASS_USED: "The pass has been used up.",
  PASS_WRONG_KIND: "The pass is for something else.",
  TOO_MANY_TRIES: "Too many wrong codes were tried.",
  BUSY: "Too many use this pass at once.",
  LOG_UNAVAILABLE: "The store of passes did not answer.",
};

export const passRefused = (code: PassRefusal): Refused => refuse(code, WHY[code]);

/** `undefined`: the site file has both. */
export function refusePlace(site: SiteFile, place: { site: string; gallery: string }): Refused | undefined {
  if (!site.sites.some(({ name }) => name === place.site)) {
    return refuse("SITE_UNKNOWN", "The site file has no such site.");
  }
  return site.galleries.some(({ name }) => name === place.gallery)
    ? undefined
    : refuse("GALLERY_UNKNOWN", "The site file has no such gallery.");
}
