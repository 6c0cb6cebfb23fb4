// The demo's live console: one row per lane and the last decisions, drawn in place on a terminal, as plain lines elsewhere.
import { edge } from "../../wire/codec.js";

export interface Row {
  lane: string;
  purpose: string;
  decision: edge.Decision.$Properties | undefined;
  roundTripMs: number;
}

const COLUMNS = ["recv", "queue", "sign", "search", "decide", "act", "total"] as const;
const RECENT_ROWS = 8;
const NO_WRAP = "\x1b[?7l";
const WRAP = "\x1b[?7h";
const COLOUR = {
  granted: "\x1b[32m",
  refused: "\x1b[33m",
  unknown: "\x1b[31m",
  off: "\x1b[0m",
  dim: "\x1b[2m",
};
const words = (name: string | undefined) => (name ?? "none").toLowerCase().replaceAll("_", " ");

const header = `${"lane".padEnd(12)} ${"outcome".padEnd(11)} ${"who".padEnd(17)} ${"reason".padEnd(18)} ${COLUMNS.map((name) => name.padStart(7)).join("")}`;

/** One decision as one line: lane, outcome, who (pairwise id), reason, milliseconds by stage. */
export function formatRow({ lane, decision }: Row, colour: boolean): string {
  if (!decision) return `${lane.padEnd(12)} no decision: the lane asks the person to wait one moment`;
  const s = decision.stages;
  const times = [s?.receiveMs, s?.queueMs, s?.signMs, s?.searchMs, s?.decideMs, s?.actMs, s?.totalMs];
  const tone = decision.granted
    ? COLOUR.granted
    : decision.outcome === edge.Outcome.MATCH
      ? COLOUR.refused
      : COLOUR.unknown;
  const outcome = words(edge.Outcome[decision.outcome ?? 0]).padEnd(11);
  const painted = colour ? `${tone}${outcome}${COLOUR.off}` : outcome;
  const numbers = times.map((ms) => (ms ?? 0).toFixed(1).padStart(7)).join("");
  return `${lane.padEnd(12)} ${painted} ${(decision.pairwiseId || "-").padEnd(17)} ${words(edge.Reason[decision.reason ?? 0]).padEnd(18)} ${numbers}`;
}

export interface Table {
  add(row: Row): void;
  /** A line under the lanes, e.g. counts so far. */
  status(text: string): void;
}

/** Where to draw: in place when it is a terminal, one line per decision when it is not. */
export interface Screen {
  isTerminal: boolean;
  write(text: string): void;
}

export function openTable(screen: Screen, lanes: readonly string[]): Table {
  if (!screen.isTerminal) {
    screen.write(`${header}\n`);
    return { add: (row) => screen.write(`${formatRow(row, false)}\n`), status: () => {} };
  }
  const last = new Map<string, Row>();
  const recent: Row[] = [];
  let status = "";
  let drawn = 0;
  const draw = () => {
    const lines = [
      `${COLOUR.dim}${header}${COLOUR.off}`,
      ...lanes.map((lane) => {
        const row = last.get(lane);
        return row ? formatRow(row, true) : `${lane.padEnd(12)} ready`;
      }),
      "",
      ...recent.map((row) => `${COLOUR.dim}${formatRow(row, false)}${COLOUR.off}`),
      "",
      ...status.split("; "),
    ];
    const up = drawn > 0 ? `\x1b[${drawn}A` : "";
    // Without wrapping a line is a row, so that the next drawing starts where this one did.
    screen.write(`${NO_WRAP}${up}${lines.map((line) => `\x1b[2K${line}`).join("\n")}\n${WRAP}`);
    drawn = lines.length;
  };
  return {
    add: (row) => {
      last.set(row.lane, row);
      recent.unshift(row);
      recent.length = Math.min(recent.length, RECENT_ROWS);
      draw();
    },
    status: (text) => {
      status = text;
    },
  };
}
