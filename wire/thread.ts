// Finds the file a worker thread starts from. Under vitest the sources run as .ts, which a thread cannot load:
// it then runs from dist/, which mirrors the tree (`npm run build` makes it).

/** @param name the thread's file without ending, beside `here`, e.g. "./search-thread"; @param here import.meta.url */
export function threadFile(name: string, here: string): URL {
  const beside = new URL(`${name}.js`, here);
  if (!here.endsWith(".ts")) return beside;
  const root = new URL("..", import.meta.url).href;
  return new URL(beside.href.slice(root.length), new URL("dist/", root));
}
