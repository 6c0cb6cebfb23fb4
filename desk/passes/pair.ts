// POST /api/lanes: a device pairs itself. The pass is the authority; the device's private key never leaves it.
//
// Invariants: a use of the pass is gone only if the device is known to every gateway, durably; the id is ours, so that
// nobody takes another device's name.
import { randomBytes } from "node:crypto";
import { z } from "zod";
import { publicKeyFromBase64 } from "../../wire/ed25519.js";
import { type Answer, done, refuse } from "../api/answer.js";
import type { ApiDeps } from "../api/api.js";
import { MAX_PAIRED_DEVICES } from "../devices/paired-devices.js";
import { parseBody } from "./body.js";
import { passRefused, refusePlace } from "./refusals.js";

const DEVICE_ID_BYTES = 8;
/** 32 bytes in base64, with or without padding. */
const RAW_KEY_PATTERN = /^[A-Za-z0-9+/]{43}=?$/;

const pairing = z.object({ pass: z.string(), publicKey: z.string() });

export async function pairLane(deps: ApiDeps, body: Buffer): Promise<Answer> {
  const parsed = parseBody(pairing, body, ["publicKey"]);
  if (!parsed.ok) return parsed.refused;
  const text = parsed.value.publicKey;
  const publicKey = RAW_KEY_PATTERN.test(text) ? publicKeyFromBase64(text) : undefined;
  if (!publicKey) return refuse("KEY_INVALID", "publicKey is no Ed25519 key.");
  const redeemed = await deps.passes.redeem(parsed.value.pass, "LANE");
  if (!redeemed.ok) return passRefused(redeemed.code);
  const { site, purpose, gallery } = redeemed.pass;
  const unknown = refusePlace(deps.site(), { site, gallery });
  if (unknown) {
    await redeemed.giveBack();
    return unknown;
  }
  const id = `lane-${randomBytes(DEVICE_ID_BYTES).toString("hex")}`;
  const added = await deps.devices.add({ id, publicKey, site, purpose, gallery, pairedAtUnixMs: Date.now() });
  if (!added.ok) {
    await redeemed.giveBack();
    return added.code === "LIMIT_REACHED"
      ? refuse(added.code, `${MAX_PAIRED_DEVICES} devices are paired already.`)
      : refuse(added.code, "The store of paired devices did not answer.");
  }
  deps.log.info({ device: id, site, purpose }, "a lane was paired");
  return done({ deviceId: id, site, purpose, gallery }, 201);
}
