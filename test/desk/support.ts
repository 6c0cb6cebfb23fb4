// Desks as they run, on a real nats-server, and where a test needs them with a real ledger and a real matcher behind them.
// All in this process; all is taken down with close().
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsConnection } from "@nats-io/transport-node";
import { type SyntheticPerson, syntheticPerson } from "../../cli/demo/people.js";
import { startDesk } from "../../desk/desk.js";
import { DESK_SETTINGS } from "../../desk/settings.js";
import { readLedgerConfig } from "../../ledger/config.js";
import { startLedger } from "../../ledger/main.js";
import { readMatcherConfig } from "../../matcher/config.js";
import { startMatcher } from "../../matcher/main.js";
import { type EventLog, openEventLog } from "../../records/index.js";
import { applyPlan, parseDirectoryFile, planOf } from "../../wire/apply.js";
import { bus, edge, encode } from "../../wire/codec.js";
import { readSettings } from "../../wire/config.js";
import { type Directory, openDirectory } from "../../wire/directory.js";
import { Disposer } from "../../wire/disposer.js";
import { API_ERRORS, type ApiCode } from "../../wire/errors.js";
import { type Keyring, newOrganisationKey, openKeyring } from "../../wire/keyring.js";
import { type Log, openLog } from "../../wire/log.js";
import { connectNats } from "../../wire/nats.js";
import { startLocalNats } from "../../wire/nats-server.js";

process.env.PALMGATE_LOG ??= "fatal";

export const log: Log = openLog("desk-test");
export const TOKEN = "operator-secret-of-the-tests";
export const ORGANISATION = "acme";
export const GALLERY = "members";
export const MODEL = { modelId: "palm-256-v4", dimension: 256, lineMaps: true };
const READY_DEADLINE_MS = 60_000;

const sites = [{ name: "north" }, { name: "south" }];
const FILE = {
  organisations: [
    {
      name: ORGANISATION,
      galleries: [{ name: GALLERY }, { name: "staff" }],
      sites,
      devices: [],
      // So strict that a look-alike never comes into a test's way.
      policy: { enrolment: { duplicateFpir: 1e-6, agreementFmr: 1e-2 } },
    },
  ],
};

export interface Reply {
  status: number;
  body: Record<string, unknown>;
  headers: Headers;
}

export interface CallOptions {
  body?: Uint8Array | object | undefined;
  token?: string | undefined;
  headers?: Record<string, string>;
}

export interface TestDesk {
  url: string;
  port: number;
  opsPort: number;
  call(method: string, path: string, options?: CallOptions): Promise<Reply>;
  close(): Promise<void>;
}

export interface DeskRig {
  dir: string;
  masterKey: string;
  natsUrl: string;
  nats: NatsConnection;
  directory: Directory;
  keyring: Keyring;
  eventLog: EventLog;
  desks: TestDesk[];
  /** At the first desk. */
  call: TestDesk["call"];
  /** In turn, as a balancer without stickiness. */
  anywhere: TestDesk["call"];
  startDesk(...args: string[]): Promise<TestDesk>;
  /** Ends nats-server before the rest. */
  stopNats(): Promise<void>;
  close(): Promise<void>;
}

export interface RigOptions {
  desks?: number;
  /** Arguments of every desk. */
  args?: string[];
  /** With a ledger and a matcher; resolves when every shard is served. */
  whole?: boolean;
  /** What is applied at first. */
  file?: object;
}

export async function openDeskRig({
  desks: count = 1,
  args = [],
  whole = false,
  file = FILE,
}: RigOptions = {}): Promise<DeskRig> {
  const disposer = new Disposer();
  try {
    const dir = mkdtempSync(join(tmpdir(), "palmgate-desk-"));
    disposer.defer(() => rmSync(dir, { recursive: true, force: true }));
    const server = await startLocalNats(join(dir, "nats"));
    disposer.defer(() => server.stop());
    const nats = await connectNats({ url: server.url, name: "desk-test", log });
    disposer.defer(() => nats.close());
    const directory = await openDirectory(nats, log);
    disposer.defer(() => directory.close());
    const masterKey = randomBytes(32);
    await applyFile(directory, masterKey, file);
    const env = {
      PALMGATE_NATS_URL: server.url,
      PALMGATE_MASTER_KEY: masterKey.toString("hex"),
      PALMGATE_OPERATOR_TOKEN: TOKEN,
      PALMGATE_OPS_PORT: "0",
      PALMGATE_PORT: "0",
    };
    if (whole) await startBackground(dir, env, disposer);
    const startOne = async (...more: string[]): Promise<TestDesk> => {
      const desk = await startDesk(readSettings(DESK_SETTINGS, [...args, ...more], env));
      disposer.defer(() => desk.close());
      const url = `http://127.0.0.1:${desk.port}`;
      return { ...desk, url, call: callerOf(url) };
    };
    const desks: TestDesk[] = [];
    for (let at = 0; at < count; at++) desks.push(await startOne());
    if (whole) await Promise.all(desks.map(servesAllShards));
    let turn = 0;
    const at = (index: number) => desks[index % count] as TestDesk;
    return {
      dir,
      masterKey: env.PALMGATE_MASTER_KEY,
      natsUrl: server.url,
      nats,
      directory,
      keyring: openKeyring(masterKey, (name) => directory.organisation(name)?.keys ?? []),
      eventLog: await openEventLog(nats),
      desks,
      call: (...question) => at(0).call(...question),
      anywhere: (...question) => at(turn++).call(...question),
      startDesk: startOne,
      stopNats: () => server.stop(),
      close: () => disposer.close(),
    };
  } catch (error) {
    await disposer.close();
    throw error;
  }
}

async function applyFile(directory: Directory, masterKey: Uint8Array, content: object): Promise<void> {
  const parsed = parseDirectoryFile(JSON.stringify(content));
  if (!parsed.ok) throw new Error(parsed.problems.join("; "));
  const newKey = (organisation: string) => newOrganisationKey(masterKey, organisation);
  const plan = planOf(directory, parsed.file, { galleryFacts: MODEL, newKey });
  if (!plan.ok) throw new Error(plan.problems.join("; "));
  const applied = await applyPlan(directory, plan.changes);
  if (!applied.ok) throw new Error(applied.code);
}

async function startBackground(dir: string, env: Record<string, string>, disposer: Disposer): Promise<void> {
  const ledger = await startLedger(readLedgerConfig(["--data-dir", join(dir, "ledger")], env));
  disposer.defer(() => ledger.close());
  const matcher = await startMatcher(
    readMatcherConfig(["--data-dir", join(dir, "matcher"), "--worker-id", "m1", "--threads", "1"], env),
  );
  matcher.failed.catch(() => {});
  disposer.defer(() => matcher.close());
}

async function servesAllShards({ opsPort }: TestDesk): Promise<void> {
  const deadlineAtMs = performance.now() + READY_DEADLINE_MS;
  let said = "";
  while (performance.now() < deadlineAtMs) {
    said = await (await fetch(`http://127.0.0.1:${opsPort}/readyz`)).text();
    // No gateway runs here.
    if (said.startsWith("ready") || /^not ready: no gateway is heard of\s*$/.test(said)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no desk was ready: ${said}`);
}

const callerOf =
  (url: string): TestDesk["call"] =>
  async (method, path, { body, token = TOKEN, headers = {} } = {}) => {
    const type = body instanceof Uint8Array ? "application/x-protobuf" : "application/json";
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(token === "" ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": type }),
        ...headers,
      },
      ...(body === undefined
        ? {}
        : { body: body instanceof Uint8Array ? Uint8Array.from(body) : JSON.stringify(body) }),
    });
    const text = await response.text();
    await checkDocumented(url, method, path, response);
    const json: unknown =
      text === "" || !/json/.test(response.headers.get("content-type") ?? "") ? {} : JSON.parse(text);
    return { status: response.status, headers: response.headers, body: json as Record<string, unknown> };
  };

interface ApiDocument {
  paths: Record<string, Record<string, { responses: Record<string, { content?: Record<string, unknown> }> }>>;
}
const documents = new Map<string, Promise<ApiDocument>>();

export function documentOf(url: string): Promise<ApiDocument> {
  const known =
    documents.get(url) ??
    fetch(`${url}/api/v1/openapi.json`).then((answer) => answer.json() as Promise<ApiDocument>);
  documents.set(url, known);
  return known;
}

/** Whatever a test asks of an operation of the API, it answers as the document says. */
async function checkDocumented(url: string, method: string, path: string, response: Response): Promise<void> {
  const { paths } = await documentOf(url);
  const given = new URL(path, url).pathname.split("/");
  const [template] = Object.keys(paths).filter((each) => {
    const wanted = each.split("/");
    return (
      wanted.length === given.length && wanted.every((part, at) => part.startsWith("{") || part === given[at])
    );
  });
  const operation = template === undefined ? undefined : paths[template]?.[method.toLowerCase()];
  if (!operation) return;
  const { status } = response;
  const documented = operation.responses[String(status)] ?? operation.responses[`${String(status)[0]}XX`];
  const type = (response.headers.get("content-type") ?? "").split(";", 1)[0] ?? "";
  if (!documented)
    throw new Error(`${method} ${template} answered ${status}, which its document does not know`);
  if (!Object.hasOwn(documented.content ?? {}, type)) {
    throw new Error(
      `${method} ${template} answered ${type} with ${status}, which its document does not know`,
    );
  }
}

export const refusal = (code: ApiCode) => ({
  status: API_ERRORS[code].status,
  body: { code, next: API_ERRORS[code].next },
});

/** No token: whoever comes along. */
export const ANYBODY = { token: "" };

let seed = 90_000;
/** Somebody whom no other test knows. */
export const somebody = (): SyntheticPerson => syntheticPerson(seed++);

export async function capturesOf(
  person: SyntheticPerson,
  position = 1,
  attempt = 0,
): Promise<bus.ICapture[]> {
  return (await person.enrolment(attempt)).map(({ width, height, pixels }) => ({
    encoding: edge.Encoding.GRAY8,
    widthPx: width,
    heightPx: height,
    modality: edge.Modality.VISIBLE,
    position,
    image: pixels,
  }));
}

export const CARD = { processor: "sandbox", token: "tok_approve", brand: "visa", last4: "4242" };

export const enrolBody = (captures: bus.ICapture[], changed: bus.EnrolRequest.$Properties = {}): Uint8Array =>
  encode(bus.EnrolRequest, {
    gallery: GALLERY,
    captures,
    consents: [edge.Purpose.ENTRY, edge.Purpose.PAY],
    instrument: CARD,
    ...changed,
  });

/** Enrols somebody new. @returns the member's id */
export async function enrolled(call: TestDesk["call"]): Promise<string> {
  const { status, body } = await call("POST", "/api/v1/members", {
    body: enrolBody(await capturesOf(somebody())),
  });
  if (status !== 201) throw new Error(JSON.stringify(body));
  return String(body.memberId);
}
