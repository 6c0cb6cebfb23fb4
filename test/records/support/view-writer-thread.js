// Starts view-writer.ts as a thread. Node 20 gives a thread no loader by option: it registers one itself.
import { register } from "tsx/esm/api";

register();
await import("./view-writer.ts");
