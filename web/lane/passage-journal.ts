// What this browser keeps of passages until a gateway has them on record: ids and tokens in localStorage, an entry each,
// and nothing of a palm.
//
// Invariants:
// - what comes out of the storage is checked; what is no passage of this device is removed: after the browser was paired
//   anew, no gateway takes the old device's tokens from it;
// - a storage that is full or closed makes an answer, never an exception.
import {
  type PassageStore,
  readStoredPassage,
  type Stored,
  type StoredPassage,
} from "../../edge-agent/passage-store.js";

const PREFIX = "palmgate-passage/";

/** Of the browser's Storage, what is needed here. */
export interface LocalStorage {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

export function openPassageJournal(storage: LocalStorage, deviceId: string): PassageStore {
  const keyOf = (presentation: string) => `${PREFIX}${deviceId}/${presentation}`;
  return {
    left: takeLeft(storage, keyOf),
    put: async (passage) =>
      stored(() => storage.setItem(keyOf(passage.presentation), JSON.stringify(passage))),
    remove: (presentation) => void stored(() => storage.removeItem(keyOf(presentation))),
    close: async () => {},
  };
}

function takeLeft(storage: LocalStorage, keyOf: (presentation: string) => string): StoredPassage[] {
  const left: StoredPassage[] = [];
  stored(() => {
    for (const key of ownKeys(storage)) {
      const passage = readStoredPassage(parsed(storage.getItem(key) ?? ""));
      if (passage && key === keyOf(passage.presentation)) left.push(passage);
      else storage.removeItem(key);
    }
  });
  return left.sort((a, b) => a.atUnixMs - b.atUnixMs);
}

function ownKeys(storage: LocalStorage): string[] {
  const keys = Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? "");
  return keys.filter((key) => key.startsWith(PREFIX));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A browser tells by an exception what its storage does not do. */
function stored(act: () => void): Stored {
  try {
    act();
    return { ok: true };
  } catch (error) {
    if (error instanceof DOMException) return { ok: false, why: error.message };
    throw error;
  }
}
