// Run as a process of its own, under a limit of file size: fills a view until its disk refuses, and says as JSON what
// happened then.
import { openView } from "../../../records/index.js";

const [path = ""] = process.argv.slice(2);
const BIG = new Uint8Array(20_000);
const view = openView({ path });
const apply = (sequence: number) =>
  view.apply("s", [{ subject: "x", sequence, atUnixMs: 0, body: BIG }], ({ body }, tables) =>
    tables.table("t").put(`k${sequence}`, body),
  );

let stored = 0;
let refused: unknown;
while (refused === undefined && stored < 1000) {
  const applied = await apply(stored + 1);
  if (applied.ok) stored++;
  else refused = applied;
}
const again = await apply(stored + 1);
const readable =
  view.table("t").count() === stored && view.table("t").get(`k${stored}`)?.length === BIG.length;
const sequence = view.sequence("s");
await view.close();
const reopened = openView({ path });
const afterRestart = { count: reopened.table("t").count(), sequence: reopened.sequence("s") };
await reopened.close();
process.stdout.write(JSON.stringify({ stored, refused, again, readable, sequence, afterRestart }));
