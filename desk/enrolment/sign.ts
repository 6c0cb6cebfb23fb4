// Captures become signatures, in threads of the desk's own, and are checked to be of the hands they are said to be of.
//
// Invariants (test/desk/enrolment.test.ts):
// - captures of one position agree with each other, so that no member is made of two people's palms;
// - what was signed is wiped when `use` has ended, however it ended.
import { type Signature, type SignerPool, similarity, wipe } from "../../palm/index.js";
import { refuse } from "../problem.js";
import { type Capture, checkSizes, POSITIONS } from "./order.js";

export interface Signed {
  signature: Signature;
  /** 0 unknown, 1 right, 2 left. */
  position: number;
}

export interface SignOptions {
  signers: Pick<SignerPool, "sign">;
  /** Least similarity of two captures of one hand. */
  agreement: number;
}

/** @throws Refusal for captures that are unfit */
export async function withSigned<T>(
  captures: readonly Capture[],
  { signers, agreement }: SignOptions,
  use: (signed: readonly Signed[]) => Promise<T>,
): Promise<T> {
  checkSizes(captures);
  const signed: Signed[] = [];
  try {
    // One after the other: an enrolment takes one signer at most.
    for (const [at, capture] of captures.entries()) {
      const signature = await signOne(signers, capture, `captures[${at}]`);
      signed.push({ signature, position: POSITIONS.indexOf(capture.position) });
    }
    checkAgreement(signed, agreement);
    return await use(signed);
  } finally {
    for (const { signature } of signed) wipe(signature);
  }
}

async function signOne(
  signers: Pick<SignerPool, "sign">,
  { encoding, widthPx: width, heightPx: height, image }: Capture,
  where: string,
): Promise<Signature> {
  // A buffer of its own: it is handed over to the signer's thread.
  const pixels = new Uint8Array(image).buffer;
  const result = await signers.sign({ encoding, width, height, pixels });
  if (result.ok) {
    if (result.quality.reason === "OK") return result.signature;
    throw refuse("LOW_QUALITY", `${where} is ${result.quality.reason.toLowerCase().replaceAll("_", " ")}.`);
  }
  switch (result.code) {
    case "BAD_IMAGE":
      throw refuse("BAD_IMAGE", `${where} does not decode to its declared size and encoding.`);
    case "TOO_LARGE":
      throw refuse("TOO_LARGE", `${where} is too large.`);
    case "POOL_FULL":
    case "POOL_CLOSED":
      throw refuse("BUSY", "No signer is free.");
    case "SIGNER_FAILED":
      throw refuse("INTERNAL", `${where} could not be signed.`);
  }
}

/** Every two captures of one position must look like one hand. */
function checkAgreement(signed: readonly Signed[], agreement: number): void {
  for (const [at, a] of signed.entries()) {
    for (const b of signed.slice(at + 1)) {
      if (a.position === b.position && similarity(a.signature, b.signature) < agreement) {
        throw refuse("CAPTURES_DISAGREE", "Two captures of one position are not of the same hand.");
      }
    }
  }
}
