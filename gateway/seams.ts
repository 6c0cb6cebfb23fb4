// The seams inside the gateway: what the hot path asks of the services (members, payments, purposes, API, pages),
// and what the services get from it. Types only; the parts are put together in gateway.ts and nowhere else.
import type { NatsConnection } from "@nats-io/transport-node";
import type { Signature, SignerPool } from "../palm/index.js";
import type { EventLog } from "../records/index.js";
import type { bus, edge } from "../wire/codec.js";
import type { Log } from "../wire/log.js";
import type { PairedDevices } from "./devices/paired-devices.js";
import type { MemberDirectory } from "./members/members.js";
import type { GatewayMetrics } from "./metrics.js";
import type { Passes } from "./passes/passes.js";
import type { SiteFile } from "./sites.js";

/** A person as the gateway's view knows them now. Never holds a template. */
export interface Member {
  /** 32 hex digits. */
  id: string;
  gallery: string;
  partition: number;
  consents: ReadonlySet<edge.Purpose>;
  instrument?: { processor: string; token: string; brand: string; last4: string } | undefined;
  /** The member's pseudonym at one site, 16 of [a-z2-7]. */
  pairwiseId(site: string): string;
}

/** The gateway's view over the members' events. `get` is synchronous and cheap: it is on the hot path. */
export interface Members {
  /** `undefined`: never enrolled, erased, or not yet applied here. Such a candidate is nobody. */
  get(memberHex: string): Member | undefined;
  count(): number;
  /** Events known to the log and not yet applied here. */
  lag(): number;
  /** What follows the log runs, and has caught up once since it started. */
  ready(): boolean;
  close(): Promise<void>;
}

export interface ActRequest {
  presentationId: Uint8Array;
  site: string;
  deviceId: string;
  charge?: { amountMinor: number; currency: string; orderRef: string };
  /** On the clock of performance.now(): the answer must be there by then. */
  deadlineAtMs: number;
}

export interface ActPayment {
  brand: string;
  last4: string;
  amountMinor: number;
  currency: string;
}

export type ActResult =
  | { granted: true; reason: edge.Reason; payment?: ActPayment }
  | { granted: false; reason: edge.Reason; payment?: ActPayment };

/** What a lane's purpose does for a recognised member. Never throws for an expected failure. */
export type Act = (member: Member, request: ActRequest) => Promise<ActResult>;

/** A purpose without an act is not served: its lanes are refused at start by the site file's check. */
export type ActsByPurpose = Partial<Record<edge.Purpose, Act>>;

export interface Candidate {
  /** 32 hex digits. */
  member: string;
  /** -1..1, the larger the more alike (palm/signature.ts). Never leaves the gateway. */
  similarity: number;
}

/** What all partitions of a gallery said about one probe. */
export interface ScatterResult {
  /** Every partition answered in time. */
  complete: boolean;
  /** Partitions without an answer. */
  missing: number[];
  /** By member, best first. */
  candidates: Candidate[];
  /** Templates searched in the partitions that answered. */
  templates: number;
}

/** Asks every partition of the gallery. Resolves at the latest at the deadline; never rejects. */
export type Search = (gallery: string, probe: Signature, deadlineMs: number) => Promise<ScatterResult>;

/** Milliseconds by stage, summed over the frames; total is first frame in -> decision out. */
export interface Stages {
  receiveMs: number;
  queueMs: number;
  signMs: number;
  searchMs: number;
  decideMs: number;
  actMs: number;
  totalMs: number;
}

/** One decision as operators may see it: no similarity, no member id. */
export interface LiveDecision {
  atUnixMs: number;
  site: string;
  deviceId: string;
  purpose: "ENTRY" | "PAY";
  outcome: keyof typeof edge.Outcome;
  granted: boolean;
  reason: keyof typeof edge.Reason;
  displayKey: string;
  /** Empty unless the outcome is MATCH. */
  pairwiseId: string;
  stages: Stages;
  frames: number;
}

/** Decisions as they fall. A listener must be quick and must not throw. */
export interface LiveFeed {
  /** @returns the function that ends it */
  subscribe(listener: (decision: LiveDecision) => void): () => void;
  /** The latest decisions, oldest first, bounded. */
  recent(): readonly LiveDecision[];
}

export interface LaneStatus {
  deviceId: string;
  site: string;
  purpose: "ENTRY" | "PAY";
  gallery: string;
  connected: boolean;
}

export interface GatewayStatus {
  transport: "uws-native" | "uws-javascript";
  modelId: string;
  lanes: LaneStatus[];
  presentationsActive: number;
  unrecordedEvents: number;
  galleries: { name: string; partitions: number; partitionsReady: number; replicas: number }[];
  /** Empty when the gateway is ready. */
  notReady: string[];
}

/** What members and payments are opened with: `openMembers(deps)`, `openPayments(deps & { members })`. */
export interface ServiceDeps {
  nats: NatsConnection;
  /** For threads, which connect by themselves. */
  natsUrl: string;
  eventLog: EventLog;
  /** Wraps the members' data keys in the log. */
  masterKey: Uint8Array;
  log: Log;
  /** A folder of this gateway's own, made already. */
  dataDir: string;
  /** The site file as it is now (reread on SIGHUP: ask each time). */
  site(): SiteFile;
  metrics: GatewayMetrics;
}

/** What `registerApi(app, deps)` and `registerPages(app, deps)` get. */
export interface GatewayDeps extends ServiceDeps {
  members: MemberDirectory;
  signers: SignerPool;
  modelId: string;
  search: Search;
  /** Similarity that a non-mated pair passes with probability `falseMatchRate`, by the calibration beside the model. */
  similarityFor(falseMatchRate: number): number;
  /** Workers alive now and what they hold: for the number of holders of a partition. */
  workers(): readonly bus.IWorkerState[];
  passes: Passes;
  devices: PairedDevices;
  liveFeed: LiveFeed;
  status(): GatewayStatus;
  operatorToken: string;
  /** PEM file (PKCS8, Ed25519) that signs erasure receipts; made by the API at first start if it is not there. */
  receiptKeyFile: string;
  livePage: "open" | "token";
  /** Where browsers reach this gateway; undefined: it does not know, and links it gives are relative. */
  publicUrl: string | undefined;
}

/** Something the gateway opened and closes at its end. */
export interface Closable {
  close(): Promise<void>;
}
