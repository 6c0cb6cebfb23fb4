// palmgate verify-receipt: checks an erasure receipt against a key that the verifier trusts. Needs no desk.
import { createPublicKey, type KeyObject } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { z } from "zod";
import { verifyReceipt } from "../records/index.js";
import { UsageError } from "../wire/config.js";
import { publicKeyFromBase64 } from "../wire/ed25519.js";
import { parseJson } from "../wire/json.js";

const HELP = `Usage: palmgate verify-receipt --key FILE|BASE64 RECEIPT

Checks that the receipt of an erasure was signed by the owner of the key and was not changed since.
Exit code 0: valid. 1: not valid, and why. 2: used wrongly.

Options:
  --key FILE|BASE64              the operator's public key: a PEM file, a file with base64, or base64; or a file with
                                 all keys that ever signed, as GET /api/v1/receipt-keys tells them (get them by a way
                                 that you trust)
  --help                         show this text
`;

export async function run(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(HELP);
    return 0;
  }
  const { key, receiptFile } = readArguments(argv);
  const trusted = await readKeys(key);
  const text = await readFile(receiptFile, "utf8").catch((error: Error) => {
    throw new UsageError(`the receipt cannot be read: ${error.message}`);
  });
  const check = verifyReceipt(trusted, text);
  if (!check.ok) {
    process.stderr.write(`not valid: ${check.code}: ${check.detail}\n`);
    return 1;
  }
  const { memberId, organisation, gallery, erasedAtUnixMs, workers, memberEvents, dataKey } = check.receipt;
  process.stdout.write(
    `valid: member ${memberId} of gallery ${gallery} of ${organisation} was erased at ${new Date(erasedAtUnixMs).toISOString()}; ` +
      `data key destroyed (${dataKey.sequences.length} events), ${memberEvents.sequences.length} earlier events ` +
      `destroyed, confirmed by ${workers.join(", ")}\n`,
  );
  return 0;
}

function readArguments(argv: string[]): { key: string; receiptFile: string } {
  try {
    const { values, positionals } = parseArgs({
      args: argv,
      options: { key: { type: "string" } },
      allowPositionals: true,
    });
    const [receiptFile] = positionals;
    if (!values.key || !receiptFile || positionals.length !== 1) {
      throw new UsageError("one --key and one receipt are needed. See --help.");
    }
    return { key: values.key, receiptFile };
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError(`${(error as Error).message} See --help.`);
  }
}

/** As the API tells them. */
const keysSchema = z.object({ keys: z.array(z.object({ publicKey: z.string() })).min(1) });

async function readKeys(given: string): Promise<KeyObject[]> {
  const text = existsSync(given) ? await readFile(given, "utf8") : given;
  const listed = keysSchema.safeParse(parseJson(text));
  return listed.success ? listed.data.keys.map(({ publicKey }) => keyIn(publicKey)) : [keyIn(text)];
}

function keyIn(text: string): KeyObject {
  try {
    const key = text.includes("-----BEGIN") ? createPublicKey(text) : publicKeyFromBase64(text);
    if (key?.asymmetricKeyType === "ed25519") return key;
  } catch {
    // Said in words below, for every way in which it can be no key.
  }
  throw new UsageError("--key must be an Ed25519 public key: a PEM file, or 32 bytes as base64.");
}
