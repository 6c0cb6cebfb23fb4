// Lanes: GET /devices lists them, DELETE revokes one, POST /lanes lets a device pair itself with a pass. They stand in the
// directory, which every gateway follows.
//
// Invariants (test/desk/passes.api.test.ts, desk.test.ts):
// - the id is ours, made of the device's key: nobody takes another device's name, and a device that asks again, as its
//   answer was lost, is told the same and takes no further use of the pass;
// - a use of the pass is gone only if the device is in the directory; one that was revoked comes back by a new use only;
// - a device of another organisation is not shown and cannot be revoked.
import { createHash } from "node:crypto";
import { z } from "zod";
import { type Device, type Directory, directoryKey } from "../../wire/directory.js";
import { publicKeyFromBase64, rawPublicKey } from "../../wire/ed25519.js";
import type { LaneBook } from "../../wire/lane-book.js";
import { DEVICE_ID_PATTERN } from "../../wire/limits.js";
import type { Log } from "../../wire/log.js";
import { PURPOSES } from "../enrolment/order.js";
import type { App } from "../fastify.js";
import { API } from "../openapi.js";
import { demandPlace, organisationOf, organisationQuery } from "../organisation.js";
import { nextCursorField, pageOf, pageQuery } from "../paging.js";
import type { LanePass } from "../passes/pass.js";
import type { Passes } from "../passes/passes.js";
import { passRefused } from "../passes/routes.js";
import { refuse } from "../problem.js";
import { addressKey } from "../throttle.js";

/** Of one organisation. */
const MAX_DEVICES = 10_000;
const ID_HEX_CHARS = 16;
const REQUEST_HEX_CHARS = 32;
/** 32 bytes in base64, with or without padding. */
const RAW_KEY_PATTERN = /^[A-Za-z0-9+/]{43}=?$/;

const purpose = z.enum(PURPOSES);
const deviceSchema = z.object({
  deviceId: z.string(),
  site: z.string(),
  purpose,
  gallery: z.string(),
  publicKey: z.string().meta({ description: "base64 of the raw Ed25519 key" }),
  pairedAtUnixMs: z.number().nullable().meta({ description: "null: it came with a file that was applied" }),
  connected: z.boolean(),
});

const pairedSchema = z.object({
  deviceId: z.string(),
  organisation: z.string(),
  site: z.string(),
  purpose,
  gallery: z.string(),
});

export interface DeviceRoutesOptions {
  directory: Directory;
  lanes: Pick<LaneBook, "get">;
  passes: Passes;
  log: Log;
}

export function deviceRoutes(app: App, options: DeviceRoutesOptions): void {
  const { directory, lanes, log } = options;
  app.get(
    `${API}/devices`,
    {
      config: { access: "operator" },
      schema: {
        operationId: "listDevices",
        summary: "Lanes that may connect",
        tags: ["devices"],
        querystring: organisationQuery.extend(pageQuery.shape),
        response: { 200: z.object({ devices: z.array(deviceSchema), nextCursor: nextCursorField }) },
      },
    },
    async ({ query }) => {
      const all = directory.devices(organisationOf(directory, query.organisation));
      const { entries, nextCursor } = pageOf(all, ({ id }) => id, query);
      const devices = entries.map(
        ({ id, site, purpose: decidesAbout, gallery, publicKey, pairedAtUnixMs }) => ({
          deviceId: id,
          site,
          purpose: decidesAbout,
          gallery,
          publicKey,
          pairedAtUnixMs: pairedAtUnixMs ?? null,
          connected: lanes.get(id) !== undefined,
        }),
      );
      return { devices, nextCursor };
    },
  );

  app.delete(
    `${API}/devices/:deviceId`,
    {
      config: { access: "operator" },
      schema: {
        operationId: "revokeDevice",
        summary: "Revoke a device: its link is closed, and it is nobody from here on",
        tags: ["devices"],
        querystring: organisationQuery,
        params: z.object({ deviceId: z.string().regex(DEVICE_ID_PATTERN, "is no device id") }),
        response: { 200: z.object({ deviceId: z.string(), revoked: z.literal(true) }) },
      },
    },
    async ({ params: { deviceId }, query }) => {
      const organisation = organisationOf(directory, query.organisation);
      if (directory.device(deviceId)?.organisation !== organisation) {
        throw refuse("NOT_FOUND", "The organisation has no such device.");
      }
      const removed = await directory.remove(directoryKey.device(deviceId));
      if (!removed.ok) throw directoryRefused(removed.code);
      log.info({ device: deviceId }, "a device was revoked");
      return { deviceId, revoked: true as const };
    },
  );

  app.post(
    `${API}/lanes`,
    {
      config: { access: "anybody", random: ["pass", "publicKey"] },
      schema: {
        operationId: "pairLane",
        summary: "A device pairs itself with a pass; its private key never leaves it",
        tags: ["devices"],
        body: z.object({
          pass: z.string().meta({ description: "The code of a LANE pass" }),
          publicKey: z.string().meta({ description: "base64 of the raw Ed25519 key" }),
        }),
        response: { 201: pairedSchema },
      },
    },
    async ({ body, ip }, reply) => {
      const device = await pair(options, body, addressKey(ip));
      const { id: deviceId, organisation, site, purpose: decidesAbout, gallery } = device;
      reply.code(201);
      return { deviceId, organisation, site, purpose: decidesAbout, gallery };
    },
  );
}

/** @throws Refusal */
async function pair(
  { passes, directory, log }: DeviceRoutesOptions,
  { pass, publicKey }: { pass: string; publicKey: string },
  address: string,
): Promise<Device> {
  const key = RAW_KEY_PATTERN.test(publicKey) ? publicKeyFromBase64(publicKey) : undefined;
  if (!key) throw refuse("KEY_INVALID", "publicKey is no Ed25519 key.");
  const raw = rawPublicKey(key);
  const digest = createHash("sha256").update("lane\0").update(raw).digest("hex");
  const request = digest.slice(-REQUEST_HEX_CHARS);
  const id = `lane-${digest.slice(0, ID_HEX_CHARS)}`;
  const before = directory.device(id);
  if (before !== undefined) {
    const known = await passes.known(pass, address);
    if (
      known.ok &&
      known.pass.kind === "LANE" &&
      isSame(before, deviceOf(known.pass, id, before.publicKey))
    ) {
      return before;
    }
  }
  const redeemed = await passes.redeem(pass, "LANE", { address, request });
  if (!redeemed.ok) throw passRefused(redeemed.code);
  try {
    const device = deviceOf(redeemed.pass, id, raw.toString("base64"));
    await add(directory, device);
    // From here on the directory answers who asks again; a device that is revoked does not come back by this use.
    await passes.settle(pass, request);
    log.info({ device: id, site: device.site }, "a lane was paired");
    return device;
  } catch (error) {
    await passes.giveBack(pass, request);
    throw error;
  }
}

const deviceOf = (
  { organisation, site, purpose: decidesAbout, gallery }: LanePass,
  id: string,
  publicKey: string,
) => ({
  organisation,
  id,
  publicKey,
  site,
  purpose: decidesAbout,
  gallery,
  pairedAtUnixMs: Date.now(),
});

/** @throws Refusal */
async function add(directory: Directory, device: Device): Promise<void> {
  demandPlace(directory, device);
  if (directory.devices(device.organisation).length >= MAX_DEVICES) {
    throw refuse("LIMIT_REACHED", `The organisation has ${MAX_DEVICES} devices already.`);
  }
  const created = await directory.create(directoryKey.device(device.id), device);
  if (!created.ok) throw directoryRefused(created.code);
}

const isSame = (a: Device, b: Device): boolean =>
  a.publicKey === b.publicKey &&
  a.organisation === b.organisation &&
  a.site === b.site &&
  a.purpose === b.purpose &&
  a.gallery === b.gallery;

const directoryRefused = (code: "CONFLICT" | "UNAVAILABLE") =>
  code === "CONFLICT"
    ? refuse("CONFLICT", "The directory was changed by somebody else meanwhile.")
    : refuse("LOG_UNAVAILABLE", "The directory did not answer.");
