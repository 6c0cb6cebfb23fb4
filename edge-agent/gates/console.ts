// A gate for people who watch a terminal.
import { edge } from "../../wire/codec.js";
import type { Gate } from "../gate.js";

/** @param print takes one line, without its end */
export function consoleGate(print: (line: string) => void): Gate {
  return {
    open: async (decision) => {
      print(`gate opens: ${edge.Reason[decision.reason ?? 0] ?? ""} ${decision.pairwiseId ?? ""}`.trimEnd());
      return { ok: true };
    },
  };
}
