// What runs (GET /status), with which keys receipts are checked (GET /receipt-keys, /receipt-key), and the document of
// this API.
import { z } from "zod";
import type { DirectoryView, ReceiptKey } from "../../wire/directory.js";
import type { App } from "../fastify.js";
import { API, DOCUMENT_PATH } from "../openapi.js";
import { organisationQuery } from "../organisation.js";
import { refuse } from "../problem.js";
import { type Status, statusSchema } from "./status.js";

const receiptKeySchema = z
  .object({
    algorithm: z.literal("Ed25519"),
    keyId: z.string().meta({ description: "As receipts name it" }),
    publicKey: z.string().meta({ description: "base64 of the raw key" }),
  })
  .meta({ id: "ReceiptKey" });

export interface FleetRoutesOptions {
  directory: Pick<DirectoryView, "receiptKeys" | "organisation">;
  status(organisation: string | undefined): Status;
}

export function fleetRoutes(app: App, { directory, status }: FleetRoutesOptions): void {
  const keys = () => [...directory.receiptKeys()].reverse().map(told);
  app.get(
    `${API}/status`,
    {
      config: { access: "operator" },
      schema: {
        operationId: "readStatus",
        summary: "What runs, and whether it is well",
        tags: ["fleet"],
        querystring: organisationQuery,
        response: { 200: statusSchema },
      },
    },
    async ({ query: { organisation } }) => {
      if (organisation !== undefined && !directory.organisation(organisation)) {
        throw refuse("ORGANISATION_UNKNOWN", "There is no such organisation.");
      }
      return status(organisation);
    },
  );

  // Public: whoever holds a receipt may check it.
  app.get(
    `${API}/receipt-keys`,
    {
      config: { access: "anybody" },
      schema: {
        operationId: "listReceiptKeys",
        summary: "Every key that ever signed a receipt, the newest first",
        tags: ["erasures"],
        response: { 200: z.object({ keys: z.array(receiptKeySchema) }) },
      },
    },
    async () => ({ keys: keys() }),
  );

  app.get(
    `${API}/receipt-key`,
    {
      config: { access: "anybody" },
      schema: {
        operationId: "readReceiptKey",
        summary: "The key that signs receipts now",
        tags: ["erasures"],
        response: { 200: receiptKeySchema },
      },
    },
    async () => {
      const [newest] = keys();
      if (newest === undefined) throw refuse("NOT_FOUND", "No ledger has made a receipt key yet.");
      return newest;
    },
  );

  app.get(
    DOCUMENT_PATH,
    {
      config: { access: "anybody" },
      schema: {
        operationId: "readDocument",
        summary: "This document",
        tags: ["fleet"],
        response: { 200: z.looseObject({ openapi: z.string() }) },
      },
    },
    async () => app.swagger() as { openapi: string },
  );
}

const told = ({ keyId, publicKey }: ReceiptKey) => ({ algorithm: "Ed25519" as const, keyId, publicKey });
