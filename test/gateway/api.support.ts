// The API over real HTTP and a real log, for its tests. Signer and search are stand-ins: an image's first byte says whom
// it shows, so that the test decides who looks like whom.
import { join } from "node:path";
import { type ApiGatewayDeps, registerApi } from "../../gateway/api/api.js";
import { openPairedDevices, type PairedDevices } from "../../gateway/devices/paired-devices.js";
import { type MemberDirectory, openMembers } from "../../gateway/members/members.js";
import { Passes } from "../../gateway/passes/passes.js";
import type { Closable, ScatterResult } from "../../gateway/seams.js";
import { type App, listen, openApp } from "../../gateway/transport.js";
import type { Signature } from "../../palm/index.js";
import { bus, edge } from "../../wire/codec.js";
import { API_ERRORS, type ApiCode } from "../../wire/errors.js";
import { GALLERY, openServices, type Services } from "./members.support.js";

export const TOKEN = "operator-secret";
const SIDE_PX = 64;
export const BLURRED = 255;
export const BROKEN = 254;

export interface Reply {
  status: number;
  body: Record<string, unknown>;
  headers: Headers;
}

export interface TestApi {
  services: Services;
  members: MemberDirectory;
  devices: PairedDevices;
  deps: ApiGatewayDeps;
  port: number;
  script: Script;
  call(method: string, path: string, body?: Uint8Array | object, token?: string): Promise<Reply>;
  close(): Promise<void>;
}

/** What the stand-ins do; `reset` before each test. */
export interface Script {
  /** What the matchers answer. */
  found: ScatterResult;
  /** Nobody is signed before it resolves. */
  signing: Promise<void>;
  /** Of everybody that is signed; none, as a model without them gives, unless a test says otherwise. */
  lines: Uint32Array;
  codes: Uint32Array;
  /** What the signer has given out. */
  signed: Signature[];
  reset(): void;
}

const nobody = (): ScatterResult => ({ complete: true, missing: [], candidates: [], templates: 0 });

/** @param serveMore registers what is served beside the API */
export async function openTestApi(
  changed: Partial<ApiGatewayDeps> = {},
  serveMore: (app: App, deps: ApiGatewayDeps) => Closable = () => ({ close: async () => {} }),
): Promise<TestApi> {
  const services = await openServices();
  const members = await openMembers(services.deps);
  const devices = await openPairedDevices(services.deps);
  const script: Script = {
    found: nobody(),
    signing: Promise.resolve(),
    lines: new Uint32Array(),
    codes: new Uint32Array(),
    signed: [],
    reset: () => {
      script.found = nobody();
      script.signing = Promise.resolve();
      script.lines = new Uint32Array();
      script.codes = new Uint32Array();
      script.signed = [];
      services.holder.status = bus.AppliedStatus.APPLIED;
    },
  };
  const deps = { ...depsOf({ services, members, devices, script }), ...changed };
  const app = openApp(undefined);
  const api = registerApi(app, deps);
  const more = serveMore(app, deps);
  const { port } = await listen(app, "127.0.0.1", 0);
  return {
    services,
    members,
    devices,
    deps,
    port,
    script,
    call: (method, path, body, token = TOKEN) => call(`http://127.0.0.1:${port}${path}`, method, body, token),
    close: async () => {
      await more.close();
      await api.close();
      app.close();
      await devices.close();
      await members.close();
      await services.close();
    },
  };
}

function depsOf({
  services,
  members,
  devices,
  script,
}: Pick<TestApi, "services" | "members" | "devices" | "script">): ApiGatewayDeps {
  return {
    ...services.deps,
    members,
    devices,
    passes: new Passes(services.deps),
    publicUrl: undefined,
    modelId: "m",
    signers: {
      sign: async ({ pixels }) => {
        await script.signing;
        const [who = 0] = new Uint8Array(pixels);
        if (who === BROKEN) return { ok: false, code: "BAD_IMAGE", detail: "" };
        const signature = {
          vector: new Float32Array(256),
          lines: script.lines.slice(),
          codes: script.codes.slice(),
        };
        if (who !== BLURRED) signature.vector[who] = 1;
        script.signed.push(signature);
        const quality =
          who === BLURRED
            ? ({ score: 1, reason: "BLURRED" } as const)
            : ({ score: 90, reason: "OK" } as const);
        return { ok: true, signature, quality, queueMs: 0, signMs: 0 };
      },
    },
    search: async () => script.found,
    similarityFor: () => 0.5,
    workers: () => [
      { workerId: "m1", partitions: [0, 1, 2, 3].map((partition) => ({ gallery: GALLERY, partition })) },
    ],
    status: () => ({
      transport: "uws-native",
      modelId: "m",
      lanes: [],
      presentationsActive: 0,
      unrecordedEvents: 0,
      galleries: [],
      notReady: [],
    }),
    operatorToken: TOKEN,
    receiptKeyFile: join(services.deps.dataDir, "receipt-key.pem"),
  };
}

async function call(
  url: string,
  method: string,
  body: Uint8Array | object | undefined,
  token: string,
): Promise<Reply> {
  const response = await fetch(url, {
    method,
    headers: { authorization: `Bearer ${token}` },
    ...(body === undefined
      ? {}
      : { body: body instanceof Uint8Array ? Uint8Array.from(body) : JSON.stringify(body) }),
  });
  const { status, headers } = response;
  return { status, headers, body: (await response.json()) as Record<string, unknown> };
}

export const capture = (who: number, changed: bus.ICapture = {}): bus.ICapture => ({
  encoding: edge.Encoding.GRAY8,
  widthPx: SIDE_PX,
  heightPx: SIDE_PX,
  modality: edge.Modality.VISIBLE,
  position: 1,
  image: new Uint8Array(SIDE_PX * SIDE_PX).fill(who),
  ...changed,
});

export const refusal = (code: ApiCode) => ({
  status: API_ERRORS[code].status,
  body: { code, next: API_ERRORS[code].next },
});
