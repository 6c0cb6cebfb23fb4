// The operator API: which addresses there are, and what each needs. The work is in the files beside this one.
import type { TemplatedApp } from "uWebSockets.js";
import type { RecordDeps } from "../../records/index.js";
import { MAX_EDGE_MESSAGE_BYTES, MAX_TEMPLATES_PER_MEMBER } from "../../wire/limits.js";
import { passRoutes } from "../passes/routes.js";
import type { Closable, GatewayDeps } from "../seams.js";
import { done } from "./answer.js";
import { enrolHandler, openEnroller } from "./enrol.js";
import { eraseHandler } from "./erase.js";
import { registerRoutes } from "./http.js";
import { changeConsents, changeInstrument, readMember, readMemberHistory } from "./members.js";
import { openReceiptKey, type ReceiptKey } from "./receipt-key.js";

const MAX_ENROL_BODY_BYTES = MAX_TEMPLATES_PER_MEMBER * MAX_EDGE_MESSAGE_BYTES;
const MAX_JSON_BODY_BYTES = 4096;

/** What registerApi() needs of the gateway. */
export type ApiGatewayDeps = Omit<GatewayDeps, "signers" | "liveFeed" | "livePage"> & {
  signers: Pick<GatewayDeps["signers"], "sign">;
};

/** What the handlers work with. */
export interface ApiDeps extends ApiGatewayDeps {
  records: RecordDeps;
  receiptKey: ReceiptKey;
}

/**
 * Registers the operator API, and takes up erasures that an earlier process left unfinished.
 * @throws when the receipt key cannot be read or made
 */
export function registerApi(app: TemplatedApp, gateway: ApiGatewayDeps): Closable {
  const deps: ApiDeps = {
    ...gateway,
    records: { nc: gateway.nats, eventLog: gateway.eventLog, log: gateway.log, masterKey: gateway.masterKey },
    receiptKey: openReceiptKey(gateway.receiptKeyFile),
  };
  const enrol = openEnroller(deps);
  const enrolByOperator = enrolHandler(deps, enrol);
  const erasures = eraseHandler(deps);
  const id = ([first = ""]: readonly string[]) => first;
  registerRoutes(app, deps, [
    {
      method: "post",
      path: "/api/members",
      maxBodyBytes: MAX_ENROL_BODY_BYTES,
      handle: ({ body }) => enrolByOperator(body),
    },
    {
      method: "get",
      path: "/api/members/:id",
      maxBodyBytes: 0,
      handle: ({ parameters }) => readMember(deps, id(parameters)),
    },
    {
      method: "get",
      path: "/api/members/:id/history",
      maxBodyBytes: 0,
      handle: ({ parameters, query }) => readMemberHistory(deps, id(parameters), query),
    },
    {
      method: "put",
      path: "/api/members/:id/consents",
      maxBodyBytes: MAX_JSON_BODY_BYTES,
      handle: ({ parameters, body }) => changeConsents(deps, id(parameters), body),
    },
    {
      method: "put",
      path: "/api/members/:id/instrument",
      maxBodyBytes: MAX_JSON_BODY_BYTES,
      handle: ({ parameters, body }) => changeInstrument(deps, id(parameters), body),
    },
    {
      method: "del",
      path: "/api/members/:id",
      maxBodyBytes: 0,
      handle: ({ parameters }) => erasures.erase(id(parameters), "operator"),
    },
    {
      method: "get",
      path: "/api/status",
      maxBodyBytes: 0,
      handle: () => done({ ...deps.status(), members: deps.members.count(), memberLag: deps.members.lag() }),
    },
    {
      // Public: whoever holds a receipt may check it.
      method: "get",
      path: "/api/receipt-key",
      maxBodyBytes: 0,
      open: true,
      handle: () =>
        done({
          algorithm: "Ed25519",
          keyId: deps.receiptKey.keyId,
          publicKey: deps.receiptKey.publicKeyBase64,
        }),
    },
    ...passRoutes(deps, { enrol, erasures }),
  ]);
  return { close: erasures.close };
}
