// The document of the API: made of the routes' own schemas, so that it cannot say something else than they do.
import type { FastifyDynamicSwaggerOptions } from "@fastify/swagger";
import { jsonSchemaTransform, jsonSchemaTransformObject } from "fastify-type-provider-zod";
import { PROTOBUF_TYPE } from "./bodies.js";
import { PROBLEM_TYPE } from "./problem.js";

export const API = "/api/v1";
export const DOCUMENT_PATH = `${API}/openapi.json`;
const PROBLEM = { $ref: "#/components/schemas/Problem" };

const TAGS = [
  { name: "members", description: "People who are enrolled: by operators, or by themselves with a pass." },
  { name: "erasures", description: "Ends of memberships, and the signed receipts of them." },
  { name: "passes", description: "With a pass a browser becomes a lane, or a person enrols themselves." },
  { name: "devices", description: "Lanes that may connect." },
  { name: "payments", description: "Payments that lanes took." },
  { name: "fleet", description: "What runs, and whether it is well." },
];

type Transform = NonNullable<FastifyDynamicSwaggerOptions["transform"]>;

const transform: Transform = (given) => {
  const { access } = given.route.config ?? {};
  if (!given.url.startsWith(`${API}/`) || given.route.method === "HEAD") {
    return { url: given.url, schema: { hide: true } };
  }
  const { schema, url } = jsonSchemaTransform(given);
  const problem = (description: string) => ({
    description,
    content: { [PROBLEM_TYPE]: { schema: PROBLEM } },
  });
  const response = {
    ...(schema.response as object | undefined),
    "4xx": problem("Refused; code and next say why and what to do."),
    "5xx": problem("Not possible now; code and next say why and what to do."),
  };
  return { url, schema: { ...schema, response, security: access === "operator" ? [{ operator: [] }] : [] } };
};

type Paths = Record<
  string,
  Record<string, { requestBody?: { content?: Record<string, { schema: object }> } }>
>;

export const documentOptions: FastifyDynamicSwaggerOptions = {
  openapi: {
    openapi: "3.1.0",
    info: {
      title: "Palmgate",
      version: "1.0.0",
      summary: "Palm identity and payment: the control plane.",
      description:
        "Every refusal is application/problem+json with a code of one catalogue. POSTs that make something take an " +
        "Idempotency-Key: asked again with the same key and body, it is the same thing. Where a fleet serves several " +
        "organisations, `organisation` names whose it is about. Bodies marked protobuf are messages of proto/api.proto.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/", description: "The desk that served this document" }],
    tags: TAGS,
    components: {
      securitySchemes: { operator: { type: "http", scheme: "bearer", description: "The operator token" } },
    },
  },
  transform,
  transformObject: (given) => {
    const document = jsonSchemaTransformObject(given) as Document;
    // A protobuf body is bytes, whatever shape its JSON sibling has.
    for (const operations of Object.values(document.paths ?? {})) {
      for (const { requestBody } of Object.values(operations)) {
        const media = requestBody?.content?.[PROTOBUF_TYPE];
        if (media) media.schema = { type: "string", format: "binary" };
      }
    }
    dropUnused(document);
    return document;
  },
};

interface Document {
  paths?: Paths;
  components?: { schemas?: Record<string, unknown> };
}

/** The library makes a schema for input and one for output of everything: only what is spoken of stays. */
function dropUnused(document: Document): void {
  const { schemas = {} } = document.components ?? {};
  const used = new Set<string>();
  const walk = (value: unknown): void => {
    for (const [, name = ""] of JSON.stringify(value ?? null).matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      if (used.has(name)) continue;
      used.add(name);
      walk(schemas[name]);
    }
  };
  walk(document.paths);
  for (const name of Object.keys(schemas)) if (!used.has(name)) delete schemas[name];
}
