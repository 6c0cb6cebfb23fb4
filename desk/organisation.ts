// Whose members, devices and payments a request is about. The operator token is the fleet's: where there are several
// organisations the request names one.
import { z } from "zod";
import type { DirectoryView } from "../wire/directory.js";
import { nameSchema } from "../wire/directory-values.js";
import { refuse } from "./problem.js";

/** Of every route that is about one organisation. */
export const organisationQuery = z.object({
  organisation: nameSchema
    .optional()
    .meta({ description: "Whose; needed where the fleet serves several organisations" }),
});

/** @throws Refusal */
export function organisationOf(
  directory: Pick<DirectoryView, "organisations" | "organisation">,
  named: string | undefined,
): string {
  if (named !== undefined) {
    if (!directory.organisation(named))
      throw refuse("ORGANISATION_UNKNOWN", "There is no such organisation.");
    return named;
  }
  const [only, ...others] = directory.organisations();
  if (only === undefined) throw refuse("ORGANISATION_UNKNOWN", "There is no organisation yet.");
  if (others.length > 0) throw refuse("ORGANISATION_NEEDED", "This fleet serves several organisations.");
  return only.name;
}

/** @throws Refusal unless the organisation has both */
export function demandPlace(
  directory: Pick<DirectoryView, "site" | "gallery">,
  { organisation, site, gallery }: { organisation: string; site: string; gallery: string },
): void {
  if (!directory.site(organisation, site)) throw refuse("SITE_UNKNOWN", "The organisation has no such site.");
  demandGallery(directory, organisation, gallery);
}

/** @throws Refusal unless the organisation has it */
export function demandGallery(
  directory: Pick<DirectoryView, "gallery">,
  organisation: string,
  gallery: string,
): void {
  if (!directory.gallery(organisation, gallery)) {
    throw refuse("GALLERY_UNKNOWN", "The organisation has no such gallery.");
  }
}
