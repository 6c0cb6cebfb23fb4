// One logger for a process. Its lines go through report.ts, so that a full disk costs lines and nothing else. Never log a template, a pixel, a phone number, a similarity or a key:
// the redaction below is a net, not a licence.
import { pino } from "pino";
import { report, STDERR } from "./report.js";

export type Log = Pick<import("pino").Logger, "debug" | "info" | "warn" | "error" | "fatal">;

const NEVER = [
  "image",
  "pixels",
  "signature",
  "probe",
  "similarity",
  "score",
  "key",
  "phone",
  "token",
  "authorization",
];

/** JSON lines on stderr (stdout belongs to a command's result), level from PALMGATE_LOG (default info). */
export function openLog(processName: string, fields: Record<string, string> = {}): Log {
  return pino(
    {
      level: process.env.PALMGATE_LOG ?? "info",
      base: { process: processName, pid: process.pid, ...fields },
      redact: { paths: [...NEVER, ...NEVER.map((name) => `*.${name}`)], censor: "[never logged]" },
    },
    { write: (line: string) => report(STDERR, line) },
  );
}
