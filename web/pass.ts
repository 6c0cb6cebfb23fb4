// The pass that an operator gives: in a page's address, or typed in.
//
// Invariant: a pass comes in the address's fragment, which browsers send to nobody, and is taken out of the address at
// once.
const PASS_PARAMETER = "pass";

/** The pass in the page's address, taken out of it. */
export function passInAddress(): string | undefined {
  const pass = new URLSearchParams(location.hash.slice(1)).get(PASS_PARAMETER);
  if (pass === null) return undefined;
  history.replaceState(null, "", location.pathname);
  return pass;
}

/** Reads what a person typed or pasted: the code itself, or the whole link. */
export function passIn(text: string): string {
  const [, fragment] = text.split("#", 2);
  return (fragment === undefined ? text : (new URLSearchParams(fragment).get(PASS_PARAMETER) ?? "")).trim();
}
