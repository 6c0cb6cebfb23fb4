// The addresses of passes, paired lanes and self-enrolment. Those marked open need no operator token: a pass, or the
// authority that an enrolment gave, is what they ask for.
import type { ApiDeps } from "../api/api.js";
import type { Enrol } from "../api/enrol.js";
import type { Eraser } from "../api/erase.js";
import type { Route } from "../api/http.js";
import { listDevices, revokeDevice } from "../devices/devices-api.js";
import { forgetAuthority, forgetMember } from "./forget.js";
import { issuePass, tellTerms } from "./issue.js";
import { pairLane } from "./pair.js";
import { selfEnrol } from "./self-enrol.js";

const MAX_JSON_BODY_BYTES = 4096;
/** Six crops of the usual size come to 100 KB. */
const MAX_SELF_ENROL_BODY_BYTES = 256 * 1024;

export function passRoutes(deps: ApiDeps, { enrol, erasures }: { enrol: Enrol; erasures: Eraser }): Route[] {
  const authorities = forgetAuthority(deps.masterKey);
  const selfEnrolDeps = { ...deps, enrol, authorities };
  return [
    {
      method: "post",
      path: "/api/passes",
      maxBodyBytes: MAX_JSON_BODY_BYTES,
      handle: ({ body }) => issuePass(deps, body),
    },
    {
      method: "post",
      path: "/api/passes/terms",
      maxBodyBytes: MAX_JSON_BODY_BYTES,
      open: true,
      handle: ({ body }) => tellTerms(deps, body),
    },
    {
      method: "post",
      path: "/api/lanes",
      maxBodyBytes: MAX_JSON_BODY_BYTES,
      open: true,
      handle: ({ body }) => pairLane(deps, body),
    },
    {
      method: "post",
      path: "/api/enrolments",
      maxBodyBytes: MAX_SELF_ENROL_BODY_BYTES,
      open: true,
      handle: ({ body }) => selfEnrol(selfEnrolDeps, body),
    },
    {
      method: "post",
      path: "/api/erasures",
      maxBodyBytes: MAX_JSON_BODY_BYTES,
      open: true,
      handle: ({ body }) => forgetMember({ authorities, erasures }, body),
    },
    { method: "get", path: "/api/devices", maxBodyBytes: 0, handle: () => listDevices(deps) },
    {
      method: "del",
      path: "/api/devices/:id",
      maxBodyBytes: 0,
      handle: ({ parameters: [id = ""] }) => revokeDevice(deps, id),
    },
  ];
}
