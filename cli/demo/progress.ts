// Progress of a long task on stderr: one line redrawn on a terminal, a line every tenth elsewhere.
import { isatty } from "node:tty";
import { report, STDERR } from "../../wire/report.js";

export interface Progress {
  step(done: number): void;
  /** A line of its own, beside the progress. */
  say(text: string): void;
}

const TENTHS = 10;

export function openProgress(what: string, total: number): Progress {
  const startedAt = Date.now();
  const isTerminal = isatty(STDERR);
  let shown = -1;
  return {
    step: (done) => {
      const share = total === 0 ? 1 : done / total;
      const tenth = Math.floor(share * (isTerminal ? total : TENTHS));
      if (tenth === shown) return;
      shown = tenth;
      const seconds = ((Date.now() - startedAt) / 1000).toFixed(0);
      const line = `${what}: ${done} of ${total} (${(share * 100).toFixed(0)} %, ${seconds} s)`;
      report(STDERR, isTerminal ? `\r\x1b[2K${line}${done === total ? "\n" : ""}` : `${line}\n`);
    },
    say: (text) => {
      report(STDERR, isTerminal ? `\r\x1b[2K${text}\n` : `${text}\n`);
    },
  };
}
