// The demo's two links for whoever sits before it: become a member with your own hand, and make your camera a lane.
import { type OperatorApi, type PassOrder, passLink } from "../operator-api.js";
import { GALLERY, type Stack } from "../stack/stack.js";

/** As long as a demo may run, and as many people and cameras as may gather around it. */
const VALID_MINUTES = 24 * 60;
const USES = 1000;

export interface DemoLinks {
  enrol: string;
  lane: string;
}

/** @throws Error with the gateway's own words when it gives no pass */
export async function demoLinks(
  api: OperatorApi,
  { deskUrl }: Pick<Stack, "deskUrl">,
  site: string,
): Promise<DemoLinks> {
  const common = { site, gallery: GALLERY, validMinutes: VALID_MINUTES, uses: USES };
  const link = async (order: PassOrder) => {
    const answer = await api.issuePass(order);
    if (!answer.ok) throw new Error(`the demo got no pass: ${answer.code} ${answer.message} ${answer.next}`);
    return passLink(answer.body, deskUrl);
  };
  return {
    enrol: await link({ ...common, kind: "ENROL", consents: ["ENTRY", "PAY"] }),
    lane: await link({ ...common, kind: "LANE", purpose: "ENTRY" }),
  };
}
