// The words on the screen, by key: the same file that the live page shows (texts.json of the gateway's pages).

const TEXTS_PATH = "/live/texts.json";

export interface Texts {
  /** The text of a display key; an unknown key shows `fallback`. */
  display(key: string, fallback?: string): string;
}

/** Rejects when the gateway does not answer. */
export async function loadTexts(): Promise<Texts> {
  const answer = await fetch(TEXTS_PATH);
  if (!answer.ok) throw new Error(`the texts did not load: ${answer.status}`);
  const display = displayTexts(await answer.json());
  return { display: (key, fallback = "") => display.get(key) ?? fallback };
}

function displayTexts(file: unknown): Map<string, string> {
  const display = isRecord(file) ? file.display : undefined;
  if (!isRecord(display)) throw new Error("the texts have no display part");
  return new Map(
    Object.entries(display).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;
