// A process whose files may not grow beyond a limit fills a journal, empties it, and says what it saw.
import { openJournal } from "../../../edge-agent/journal.js";

const [dir = ""] = process.argv.slice(2);
const log = { warn: () => {}, error: () => {} };
const passage = (n: number) => ({
  presentation: n.toString(16).padStart(32, "0"),
  token: "ab".repeat(24),
  step: "OPENED" as const,
  atUnixMs: n,
});

const journal = openJournal({ dir, deviceId: "lane-1", log });
let stored = 0;
let answer = await journal.put(passage(0));
for (; answer.ok && stored < 100; answer = await journal.put(passage(stored))) stored += 1;
const refused = answer;
const again = await journal.put(passage(stored + 1));
const left = openJournal({ dir, deviceId: "lane-1", log }).left.length;
for (let n = 0; n <= stored + 1; n++) journal.remove(passage(n).presentation);
const afterwards = await journal.put(passage(777));
const reopened = openJournal({ dir, deviceId: "lane-1", log }).left.map(({ atUnixMs }) => atUnixMs);
process.stdout.write(JSON.stringify({ stored, refused, again, left, afterwards, reopened }));
