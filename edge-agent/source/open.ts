// Opens the source that the settings name.
import type { Log } from "../../wire/log.js";
import { openDirectorySource } from "./directory.js";
import type { SentEncoding } from "./image-file.js";
import type { PalmSource } from "./source.js";

/** `synthetic:SEED[:PALMS]`, or anything else: a folder. */
export const SOURCE_PATTERN = /^(synthetic:\d{1,9}(:[1-9]\d{0,5})?|(?!synthetic).+)$/;
const SYNTHETIC = /^synthetic:(\d+)(?::(\d+))?$/;
const DEFAULT_SYNTHETIC_PALMS = 100;

export interface SourceOptions {
  /** Matches SOURCE_PATTERN. */
  source: string;
  session?: string | undefined;
  send: SentEncoding;
}

/** @throws UsageError when a folder has no palms */
export async function openSource({ source, session, send }: SourceOptions, log: Log): Promise<PalmSource> {
  const [, seed, palms = DEFAULT_SYNTHETIC_PALMS] = SYNTHETIC.exec(source) ?? [];
  if (seed !== undefined) {
    // Loaded only where it is wanted: a lane with a camera has no use for a palm factory.
    const { openSyntheticSource } = await import("./synthetic.js");
    return openSyntheticSource({ seed: Number(seed), palms: Number(palms) });
  }
  return openDirectorySource({ dir: source, session, encoding: send, log });
}
