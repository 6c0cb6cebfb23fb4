// `palmgate bench search`: does the graph find what exact search finds, and what does each cost? It is about the first
// stage of a search, the vectors; what the second costs, the line maps, stands beside it.
//
// Two sets of vectors, both named in the output: drawn like those of real signatures (see drawn-signatures.ts) and random
// unit vectors, on which no graph can do well: real signatures are not like that.

import { z } from "zod";
import { NEAREST } from "../identify/messages.js";
import { HNSW_EF_CONSTRUCTION, HNSW_EF_SEARCH, HNSW_LINKS } from "../matcher/index/hnsw-index.js";
import { modelInfo } from "../palm/index.js";
import { helpText, readSettings, type Settings, type Values } from "../wire/config.js";
import { describe, type Similarities } from "./drawn-signatures.js";
import { projectFile } from "./project-file.js";
import { capturesOf, drawGallery, drawnLikeReal, randomVectors } from "./search-data.js";
import { measure, type SearchResult } from "./search-measure.js";
import { seeded } from "./seeded.js";

/** Pairs for the side-by-side look at similarities. */
const DESCRIBED_IDENTITIES = 1000;
const DATA_SETS = ["drawn", "random"] as const;
const MAX_MEMBERS = 1_000_000;

const count = (fallback: number, max: number) => z.coerce.number().int().min(1).max(max).default(fallback);

const SETTINGS = {
  members: {
    option: "members",
    value: "N,N",
    help: "gallery sizes",
    schema: z
      .string()
      .default("10000,50000")
      .transform((text) => text.split(",").map(Number))
      .pipe(z.array(z.number().int().min(1).max(MAX_MEMBERS)).min(1)),
  },
  templates: { option: "templates", value: "N", help: "templates per member", schema: count(1, 8) },
  probes: {
    option: "probes",
    value: "N",
    help: "probes, half of them mated",
    schema: count(2000, 1_000_000),
  },
  fit: {
    option: "fit",
    value: "N",
    help: "synthetic palms that are signed to fit the drawn set",
    schema: count(1000, 20_000),
  },
  data: {
    option: "data",
    value: "drawn,random",
    help: "data sets",
    schema: z
      .string()
      .default(DATA_SETS.join())
      .transform((text) => text.split(","))
      .pipe(z.array(z.enum(DATA_SETS)).min(1)),
  },
  seed: { option: "seed", value: "N", help: "of everything that is drawn", schema: count(1, 2 ** 31) },
  links: { option: "links", value: "N", help: "HNSW links (M)", schema: count(HNSW_LINKS, 128) },
  efConstruction: {
    option: "ef-construction",
    value: "N",
    help: "HNSW efConstruction",
    schema: count(HNSW_EF_CONSTRUCTION, 4096),
  },
  efSearch: { option: "ef-search", value: "N", help: "HNSW ef", schema: count(HNSW_EF_SEARCH, 4096) },
  model: {
    option: "model",
    value: "FILE",
    help: "signature model",
    schema: z.string().default(projectFile("model/signature.onnx")),
  },
  json: { option: "json", help: "one JSON object on stdout", flag: true, schema: z.boolean().default(false) },
} satisfies Settings;

interface DataSet {
  name: (typeof DATA_SETS)[number];
  how: string;
  similarities: { signed?: Similarities; drawn: Similarities };
  results: SearchResult[];
}

export async function run(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(
      helpText(
        "palmgate bench search [options]",
        `Agreement of the HNSW index with exact search (the first member; the nearest ${NEAREST} templates, of which line\n` +
          "maps are compared), and CPU per query, on vectors drawn like those of real signatures and on random unit vectors.",
        SETTINGS,
      ),
    );
    return 0;
  }
  const settings = readSettings(SETTINGS, argv);
  const dataSets: DataSet[] = [];
  for (const name of settings.data) dataSets.push(await measureSet(name, settings));
  const { links, efConstruction, efSearch, seed } = settings;
  const index = { links, efConstruction, efSearch };
  const report = { index, depth: NEAREST, seed, dataSets };
  process.stdout.write(settings.json ? `${JSON.stringify(report)}\n` : table(report));
  return 0;
}

async function measureSet(name: DataSet["name"], settings: Values<typeof SETTINGS>): Promise<DataSet> {
  const random = seeded(settings.seed);
  const { source, how, signed } =
    name === "drawn"
      ? await drawnLikeReal(settings, say)
      : randomVectors((await modelInfo(settings.model)).dimension);
  const look = Array.from({ length: DESCRIBED_IDENTITIES }, () => capturesOf(source, random, 2));
  const results = settings.members.map((members) => {
    say(`${name}: drawing ${members} members`);
    const gallery = drawGallery(source, random, members, settings);
    return measure(gallery, settings, (text) => say(`${name}, ${members} members: ${text}`));
  });
  return { name, how, similarities: { ...(signed ? { signed } : {}), drawn: describe(look) }, results };
}

const say = (text: string) => process.stderr.write(`bench search: ${text}\n`);

interface Report {
  index: object;
  /** Templates that a search asks the index for. */
  depth: number;
  dataSets: DataSet[];
}

function table({ index, depth, dataSets }: Report): string {
  const lines = [`HNSW ${JSON.stringify(index)}, asked for the nearest ${depth} templates`];
  for (const { name, how, similarities, results } of dataSets) {
    const quantiles = ({ mated, nonMated }: Similarities) =>
      `mated 5/50/95 %: ${mated.map(three)}; non-mated 50/99/99.99 %: ${nonMated.map(three)}`;
    lines.push("", `${name}: ${how}`);
    if (similarities.signed) lines.push(`  signed dot products  ${quantiles(similarities.signed)}`);
    lines.push(`  drawn dot products   ${quantiles(similarities.drawn)}`);
    for (const { members, templates, agreement, cpuMsPerQuery, ...result } of results) {
      const { hnsw, exact, bruteForceNative, codes, lineMaps } = cpuMsPerQuery;
      lines.push(
        `  ${members} members, ${templates} templates, ${agreement.all.probes} probes`,
        `    first member the same       ${rates(agreement, "top1")}`,
        `    share of the nearest found  ${rates(agreement, "nearest")}`,
        `    CPU ms per query            hnsw ${three(hnsw)}, exact ${three(exact)} (x ${three(exact / hnsw)}), ` +
          `hnswlib brute force ${three(bruteForceNative)} (x ${three(bruteForceNative / hnsw)})`,
        `    CPU ms to list by codes     ${three(codes)}`,
        `    CPU ms to compare line maps ${three(lineMaps)}`,
        `    CPU ms to add a template    ${three(result.buildCpuMsPerTemplate)}`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}

const three = (n: number): string => n.toFixed(3);
const rates = ({ all, mated, nonMated }: SearchResult["agreement"], which: "top1" | "nearest"): string =>
  `${all[which].toFixed(5)} (mated ${mated[which].toFixed(5)}, non-mated ${nonMated[which].toFixed(5)})`;
