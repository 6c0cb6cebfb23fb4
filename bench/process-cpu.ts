// CPU that other processes have used, all their threads together, from Linux's /proc.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { UsageError } from "../wire/config.js";

// Of /proc/<pid>/stat, counted after the command name in parentheses (proc(5)): utime is field 14, stime field 15.
const UTIME_AFTER_NAME = 11;
const STIME_AFTER_NAME = 12;

let ticksPerSecond: number | undefined;

/** User and system time of a process since its start, milliseconds. @throws UsageError where there is no /proc */
export function processCpuMs(pid: number): number {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch (error) {
    throw new UsageError(`this bench reads CPU times from Linux's /proc: ${(error as Error).message}`);
  }
  ticksPerSecond ??= Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[UTIME_AFTER_NAME]) + Number(fields[STIME_AFTER_NAME]);
  return (ticks * 1000) / ticksPerSecond;
}

/** The process that has this text on its command line, e.g. the path of its configuration file. */
export function pidByArgument(argument: string): number | undefined {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const found = pids.find((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(argument);
    } catch {
      return false; // ended in the meantime
    }
  });
  return found === undefined ? undefined : Number(found);
}
