// Who imports whom. Works on the text: every form that names a module (import, export from, import type, import(),
// require(), new URL(.., import.meta.url), threadFile()) is one pattern each.
import { posix } from "node:path";

const IMPORTS = [
  /\bfrom\s*["']([^"'\n]+)["']/g,
  /\bimport\s*["']([^"'\n]+)["']/g,
  /\b(?:import|require)\s*\(\s*["'`]([^"'`\n]+)["'`]/g,
];
/** What is started or read by its name, besides. */
const SPECIFIERS = [
  ...IMPORTS,
  /\bnew URL\(\s*["'`]([^"'`\n]+\.(?:js|ts|mjs))["'`]/g,
  /\bthreadFile\(\s*["'`]([^"'`\n]+)["'`]/g,
];
/** An import whose target is not written down cannot be checked. */
const COMPUTED = /\bimport\s*\(\s*(?!["'`\s])|\bimport\s*\(\s*`[^`]*\$\{/;

/** What each room may import besides itself. `cli` and `bench` put the others together. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  wire: [],
  palm: [],
  records: ["wire"],
  identify: ["palm", "wire"],
  "edge-agent": ["palm", "identify", "wire"],
  gateway: ["identify", "palm", "records", "wire"],
  matcher: ["identify", "palm", "records", "wire"],
  desk: ["identify", "palm", "records", "wire"],
  ledger: ["identify", "palm", "records", "wire"],
  web: ["edge-agent", "palm", "wire"],
  bench: ["wire", "palm", "identify", "records", "edge-agent", "gateway", "matcher", "desk", "ledger", "cli"],
  cli: ["wire", "palm", "identify", "records", "edge-agent", "gateway", "matcher", "desk", "ledger", "bench"],
};

export const ROOMS = Object.keys(MAY_IMPORT);

export interface SourceFile {
  /** From the root, with forward slashes. */
  path: string;
  text: string;
}

/** Every breach of the import rules, one line each; empty when the house is in order. */
export function importViolations(files: SourceFile[]): string[] {
  return files.flatMap(({ path, text }) => {
    const room = path.split("/", 1)[0] ?? "";
    const allowed = MAY_IMPORT[room];
    if (!allowed) return [];
    const wrong = specifiersIn(text)
      .map((specifier) => ({ specifier, to: roomOf(path, specifier) }))
      .filter(({ to }) => to !== undefined && to !== room && !allowed.includes(to))
      .map(({ specifier }) => `${path} must not import ${specifier}`);
    return COMPUTED.test(text) ? [...wrong, `${path} imports a computed name`] : wrong;
  });
}

/** Files that import themselves over others, as "a -> b -> a", each circle once. Types count; what is only started does not. */
export function importCircles(files: SourceFile[]): string[] {
  const texts = new Map(files.map(({ path, text }) => [path, text]));
  const importsOf = (path: string) =>
    specifiersIn(texts.get(path) ?? "", IMPORTS).flatMap((specifier) => sourceOf(path, specifier) ?? []);
  const circles = new Map<string, string>();
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const from = trail.indexOf(path);
    if (from >= 0) {
      const circle = trail.slice(from);
      circles.set([...circle].sort().join(), [...circle, path].join(" -> "));
    }
    if (from >= 0 || done.has(path)) return;
    for (const next of importsOf(path)) if (texts.has(next)) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const { path } of files) visit(path, []);
  return [...circles.values()];
}

function sourceOf(importer: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  const path = posix.normalize(posix.join(posix.dirname(importer), specifier));
  return path.replace(/\.js$|(?<!\.ts)$/, ".ts");
}

function specifiersIn(text: string, patterns = SPECIFIERS): string[] {
  return patterns.flatMap((pattern) => [...text.matchAll(pattern)].map(([, specifier = ""]) => specifier));
}

/** The first folder of what a relative specifier names (dist/ mirrors the tree); nothing for a package. */
function roomOf(importer: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  const path = posix.normalize(posix.join(posix.dirname(importer), specifier));
  return path.replace(/^dist\//, "").split("/", 1)[0];
}
