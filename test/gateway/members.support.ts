// What the services' tests share: a real nats-server with the real log, and a holder of every partition that answers
// "applied" as a matcher would. The matcher itself has its own tests, and the system tests join the two.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsConnection } from "@nats-io/transport-node";
import { type GatewayMetrics, openMetrics } from "../../gateway/metrics.js";
import type { ServiceDeps } from "../../gateway/seams.js";
import { parseSiteFile } from "../../gateway/sites.js";
import { enrolMember, newDataKey, openEventLog } from "../../records/index.js";
import { bus, decode, edge, encode } from "../../wire/codec.js";
import { openLog } from "../../wire/log.js";
import { connectNats } from "../../wire/nats.js";
import { type LocalNats, startLocalNats } from "../../wire/nats-server.js";
import { partitionOf, toHex } from "../../wire/partition.js";
import { decisionSubject } from "../../wire/subjects.js";
import { ofVector } from "../matcher/support/vectors.js";

export const GALLERY = "members";
export const PARTITIONS = 4;
const DIMENSION = 8;

process.env.PALMGATE_LOG ??= "error";

export interface Services {
  deps: ServiceDeps;
  nats: LocalNats;
  connection: NatsConnection;
  /** Answers of the holder; change it to see a store that is full, or nobody at all. */
  holder: { status: bus.AppliedStatus };
  /** A folder for another gateway. */
  newDataDir(): string;
  metrics: GatewayMetrics;
  close(): Promise<void>;
}

export async function openServices(): Promise<Services> {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-services-"));
  const log = openLog("test");
  const nats = await startLocalNats(join(dir, "nats"));
  const connection = await connectNats({ url: nats.url, name: "test", log });
  const eventLog = await openEventLog(connection);
  const holder = { status: bus.AppliedStatus.APPLIED };
  connection.subscribe("applied.>", {
    callback: (_error, message) => {
      const asked = decode(bus.AppliedRequest, message.data);
      const reply = { workerId: "m1", status: holder.status, appliedSequence: asked?.streamSequence ?? 0 };
      message.respond(encode(bus.AppliedReply, reply));
    },
  });
  const site = parseSiteFile(
    JSON.stringify({
      galleries: [{ name: GALLERY, partitions: PARTITIONS, replicas: 1 }],
      sites: [{ name: "north" }, { name: "south" }],
      devices: [],
    }),
  );
  if (!site.ok) throw new Error(site.problems.join("; "));
  const metrics = openMetrics();
  const newDataDir = () => mkdtempSync(join(dir, "gateway-"));
  return {
    deps: {
      nats: connection,
      natsUrl: nats.url,
      eventLog,
      masterKey: newDataKey(),
      log,
      dataDir: newDataDir(),
      site: () => site.site,
      metrics,
    },
    nats,
    connection,
    holder,
    newDataDir,
    metrics,
    close: async () => {
      await connection.close();
      await nats.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export function unitVector(): Float32Array {
  const vector = Float32Array.from({ length: DIMENSION }, () => Math.random() - 0.5);
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}

export const CARD = { processor: "sandbox", token: "tok_approve", brand: "visa", last4: "4242" };

/** Enrols somebody straight into the record. @returns the member id */
export async function enrolSomebody(
  { deps }: Services,
  { consents = [edge.Purpose.ENTRY, edge.Purpose.PAY], token = "tok_approve" } = {},
): Promise<string> {
  const memberId = new Uint8Array(randomBytes(16));
  const outcome = await enrolMember(
    { nc: deps.nats, eventLog: deps.eventLog, log: deps.log, masterKey: deps.masterKey },
    {
      gallery: GALLERY,
      partition: partitionOf(memberId, PARTITIONS),
      memberId,
      templates: [{ signature: ofVector(unitVector()), modelId: "m", position: 1 }],
      consents,
      instrument: { ...CARD, token },
    },
  );
  if (!outcome.ok) throw new Error(`${outcome.code}: ${outcome.detail}`);
  return toHex(memberId);
}

/** Puts a decision on record, as the gateway's recorder does. */
export async function recordDecision(
  { deps }: Services,
  decided: { memberHex: string; presentationId: Uint8Array; granted?: boolean; atUnixMs?: number },
): Promise<number> {
  const { memberHex, presentationId, granted = true, atUnixMs = Date.now() } = decided;
  const appended = await deps.eventLog.append(
    decisionSubject("north", "till-1"),
    encode(bus.DecisionEvent, {
      atUnixMs,
      presentationId,
      site: "north",
      deviceId: "till-1",
      purpose: edge.Purpose.PAY,
      outcome: edge.Outcome.MATCH,
      reason: granted ? edge.Reason.PAYMENT_APPROVED : edge.Reason.PAYMENT_UNKNOWN,
      granted,
      memberId: Buffer.from(memberHex, "hex"),
      totalMs: 1,
      frames: 1,
    }),
    { messageId: toHex(presentationId) },
  );
  if (!appended.ok) throw new Error(appended.code);
  return appended.sequence;
}

/** Asks again until it holds; the test's own time limit ends it. */
export async function eventually<T>(ask: () => Promise<T> | T, holds: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await ask();
    if (holds(value)) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
