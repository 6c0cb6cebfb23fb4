// Where a file of the project's own lies, whether a bench runs from its source or from dist/.
import { fileURLToPath } from "node:url";

const ROOT = new URL(import.meta.url.endsWith(".ts") ? "../" : "../../", import.meta.url);

/** @param path from the project's root */
export const projectFile = (path: string): string => fileURLToPath(new URL(path, ROOT));
