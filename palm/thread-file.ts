// Finds a worker thread's file. Under vitest the sources run as .ts, which a thread cannot load: it runs from dist/.

/** @param name without ending, beside `here`; @param here import.meta.url of a file in palm/ */
export function threadFile(name: string, here: string): URL {
  return here.endsWith(".ts") ? new URL(`../dist/palm/${name}.js`, here) : new URL(`${name}.js`, here);
}
