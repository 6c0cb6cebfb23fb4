// One logger for a process. Never log a template, a pixel, a phone number, a similarity or a key:
// the redaction below is a net, not a licence.
import { pino } from "pino";

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
    pino.destination({ dest: 2, sync: false }),
  );
}
