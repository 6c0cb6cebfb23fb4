// This browser's identity as a lane: an Ed25519 key pair whose private half no script can read, and what the gateway
// called it when they were paired. Both lie in IndexedDB and nowhere else.
//
// Invariants:
// - the private key is not extractable: it can be used here, and copied from nowhere;
// - what comes out of the store is checked: a record of another version counts as none.
import type { DeviceSigner } from "../../edge-agent/host.js";

const DATABASE = "palmgate-lane";
const STORE = "device";
const KEY = "this";
const TRIAL_KEY = "trial";
const ALGORITHM = "Ed25519";

/** As the gateway named it. */
export interface DeviceFacts {
  deviceId: string;
  site: string;
  purpose: string;
  gallery: string;
}

export interface Device extends DeviceFacts {
  privateKey: CryptoKey;
}

export interface NewKey {
  privateKey: CryptoKey;
  /** Base64 of the raw 32 bytes, as the gateway takes it. */
  publicKeyBase64: string;
}

/** @returns undefined when this browser cannot make such keys */
export async function makeKey(): Promise<NewKey | undefined> {
  try {
    const { privateKey, publicKey } = await crypto.subtle.generateKey(ALGORITHM, false, ["sign", "verify"]);
    const raw = new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));
    return { privateKey, publicKeyBase64: btoa(String.fromCharCode(...raw)) };
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotSupportedError") return undefined;
    throw error;
  }
}

export const signerOf = ({ privateKey }: Device): DeviceSigner => ({
  sign: async (bytes) =>
    new Uint8Array(await crypto.subtle.sign(ALGORITHM, privateKey, new Uint8Array(bytes))),
});

export async function storedDevice(): Promise<Device | undefined> {
  const found: unknown = await inStore("readonly", (store) => store.get(KEY));
  return isDevice(found) ? found : undefined;
}

export async function storeDevice(device: Device): Promise<void> {
  await inStore("readwrite", (store) => store.put(device, KEY));
}

/** Whether this browser stores such a key: a private window may not. Leaves nothing behind. */
export async function canKeep(privateKey: CryptoKey): Promise<boolean> {
  try {
    await inStore("readwrite", (store) => store.put({ privateKey }, TRIAL_KEY));
    await inStore("readwrite", (store) => store.delete(TRIAL_KEY));
    return true;
  } catch (error) {
    if (error instanceof DOMException) return false;
    throw error;
  }
}

/** The key goes with it. */
export async function forgetDevice(): Promise<void> {
  await inStore("readwrite", (store) => store.delete(KEY));
}

function isDevice(value: unknown): value is Device {
  if (typeof value !== "object" || value === null) return false;
  const { deviceId, site, purpose, gallery, privateKey } = value as Partial<Record<keyof Device, unknown>>;
  return (
    [deviceId, site, purpose, gallery].every((each) => typeof each === "string") &&
    privateKey instanceof CryptoKey
  );
}

async function inStore<T>(
  mode: IDBTransactionMode,
  act: (store: IDBObjectStore) => IDBRequest<T>,
): Promise<T> {
  const database = await openDatabase();
  try {
    const transaction = database.transaction(STORE, mode);
    const request = act(transaction.objectStore(STORE));
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
    return request.result;
  } finally {
    database.close();
  }
}

function openDatabase(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("another tab of an older version holds the device: close it"));
  });
}
