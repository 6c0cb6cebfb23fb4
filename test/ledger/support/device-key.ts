// A public key as a device has it.
import { generateKeyPairSync } from "node:crypto";
import { publicKeyToBase64 } from "../../../wire/ed25519.js";

export const makeDevicePublicKey = (): string => publicKeyToBase64(generateKeyPairSync("ed25519").privateKey);
