// palmgate erase: erases a member through the desk's API and keeps the receipt.
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { z } from "zod";
import { helpText, readSettings, type Settings, UsageError } from "../wire/config.js";
import { OPERATOR_SETTINGS, operatorApi } from "./operator-api.js";

const USAGE = "palmgate erase --member ID [--receipt FILE] [options]";
const WHAT =
  "Erases a member for good: every copy of the palm's templates becomes noise. Prints the signed receipt,\n" +
  "or writes it to a new file. An erasure that is still under way ends with exit code 3: run the command again.";

const SETTINGS = {
  ...OPERATOR_SETTINGS,
  member: {
    option: "member",
    help: "member id, 32 hexadecimal digits",
    schema: z
      .string({ error: "is needed" })
      .regex(/^[0-9a-f]{32}$/, "must be 32 hexadecimal digits, in lower case"),
    value: "ID",
  },
  receipt: {
    option: "receipt",
    help: "file for the receipt; without it the receipt goes to standard output",
    schema: z.string().optional(),
    value: "FILE",
  },
} satisfies Settings;

const PENDING_EXIT_CODE = 3;

export async function run(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(helpText(USAGE, WHAT, SETTINGS));
    return 0;
  }
  const { desk, operatorToken, organisation, member, receipt } = readSettings(SETTINGS, argv);
  // Before anything is erased: a receipt that is there already is somebody's.
  if (receipt !== undefined && existsSync(receipt)) {
    throw new UsageError(`--receipt ${receipt} is there already: name a new file.`);
  }
  const answer = await operatorApi(desk, operatorToken, organisation).erase(member);
  if (!answer.ok) {
    process.stderr.write(`palmgate erase: ${answer.code}: ${answer.message} ${answer.next}\n`);
    return answer.code === "ERASURE_PENDING" ? PENDING_EXIT_CODE : 1;
  }
  const text = `${JSON.stringify(answer.body, null, 2)}\n`;
  if (receipt === undefined) process.stdout.write(text);
  else await writeFile(receipt, text);
  return 0;
}
