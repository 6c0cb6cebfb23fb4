// The site file: which galleries, sites and devices there are, and what each purpose may risk. Written by operators,
// checked here once, whole: a file with one mistake is refused with every mistake named.
//
// Invariants:
// - a device that is not in the file is nobody; taking one out and sending SIGHUP closes its link;
// - names fit into NATS subjects; every reference (device -> site, gallery) points at something in the file.
import type { KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { z } from "zod";
import { publicKeyFromBase64 } from "../wire/ed25519.js";
import { DEVICE_ID_PATTERN, MAX_PARTITIONS, MAX_REPLICAS, NAME_PATTERN } from "../wire/limits.js";

const MAX_SITE_FILE_BYTES = 4 * 1024 * 1024;

const name = z.string().regex(NAME_PATTERN, "must be 1 to 32 of a-z, 0-9 and -");
const purpose = z.enum(["ENTRY", "PAY"]);
const purposePolicy = z
  .object({
    /** Wanted rate of presentations of unknown palms that end with somebody's name. */
    targetFpir: z.number().gt(0).lte(0.1),
  })
  .strict();

const publicKey = z.string().transform((text, context): KeyObject => {
  const key = publicKeyFromBase64(text);
  if (key !== undefined) return key;
  context.addIssue({ code: "custom", message: "must be the base64 of a raw Ed25519 key (32 bytes)" });
  return z.NEVER;
});

const siteFile = z
  .object({
    galleries: z
      .array(
        z
          .object({
            name,
            partitions: z.int().min(1).max(MAX_PARTITIONS),
            replicas: z.int().min(1).max(MAX_REPLICAS),
          })
          .strict(),
      )
      .min(1),
    sites: z.array(z.object({ name }).strict()).min(1),
    devices: z.array(
      z
        .object({
          id: z.string().regex(DEVICE_ID_PATTERN, "must be 1 to 64 of a-z, 0-9 and -"),
          publicKey,
          site: name,
          purpose,
          gallery: name,
        })
        .strict(),
    ),
    policy: z
      .object({
        ENTRY: purposePolicy.prefault({ targetFpir: 1e-3 }),
        PAY: purposePolicy.prefault({ targetFpir: 1e-4 }),
        /** Similarity by which the best member must lead the second, else AMBIGUOUS. */
        ambiguityMargin: z.number().min(0).max(1).default(0.02),
        enrolment: z
          .object({
            /** Wanted rate of wrong "this palm is enrolled already" answers. */
            duplicateFpir: z.number().gt(0).lte(0.1).default(1e-4),
            /** Captures of one hand must agree as if this false match rate were wanted. */
            agreementFmr: z.number().gt(0).lte(0.1).default(1e-2),
          })
          .strict()
          .prefault({}),
      })
      .strict()
      .prefault({}),
    payments: z
      .object({ processor: z.enum(["sandbox"]).default("sandbox") })
      .strict()
      .prefault({}),
  })
  .strict()
  .superRefine((file, context) => {
    const say = (message: string, path: (string | number)[]) =>
      context.addIssue({ code: "custom", message, path });
    const twice = (names: string[], where: string) => {
      const seen = new Set<string>();
      for (const [index, each] of names.entries()) {
        if (seen.has(each)) say(`'${each}' is there twice`, [where, index]);
        seen.add(each);
      }
    };
    const galleries = file.galleries.map((each) => each.name);
    const sites = file.sites.map((each) => each.name);
    twice(galleries, "galleries");
    twice(sites, "sites");
    twice(
      file.devices.map((each) => each.id),
      "devices",
    );
    for (const [index, device] of file.devices.entries()) {
      if (!sites.includes(device.site)) say(`no site '${device.site}'`, ["devices", index, "site"]);
      if (!galleries.includes(device.gallery))
        say(`no gallery '${device.gallery}'`, ["devices", index, "gallery"]);
    }
  });

export type SiteFile = Readonly<z.output<typeof siteFile>>;
export type Device = SiteFile["devices"][number];
export type LanePurpose = Device["purpose"];

export type SiteFileResult = { ok: true; site: SiteFile } | { ok: false; problems: string[] };

/** Checks the text of a site file; every problem is named with its place. */
export function parseSiteFile(text: string): SiteFileResult {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { ok: false, problems: [`not JSON: ${(error as Error).message}`] };
  }
  const parsed = siteFile.safeParse(json);
  if (parsed.success) return { ok: true, site: parsed.data };
  return {
    ok: false,
    problems: parsed.error.issues.map((issue) => `${issue.path.join(".") || "file"}: ${issue.message}`),
  };
}

/** Reads and checks a site file. Never throws. */
export function readSiteFile(path: string): SiteFileResult {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > MAX_SITE_FILE_BYTES) {
      return { ok: false, problems: [`${path} is larger than ${MAX_SITE_FILE_BYTES} bytes`] };
    }
    return parseSiteFile(bytes.toString("utf8"));
  } catch (error) {
    return { ok: false, problems: [`${path} cannot be read: ${(error as Error).message}`] };
  }
}
