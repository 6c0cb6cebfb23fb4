// JSON from outside, on its way to a schema.

/** What the text holds; `undefined`, which every schema refuses in words, when it is no JSON. */
export function parseJson(text: string | Uint8Array): unknown {
  try {
    return JSON.parse(typeof text === "string" ? text : Buffer.from(text).toString("utf8"));
  } catch {
    return undefined;
  }
}
