// POST /api/enrolments: a person enrols themselves. The pass is the authority, and says gallery, site and what may be
// consented to; the rest is the same enrolment that operators use (gateway/api/enrol.ts).
//
// Invariants:
// - nobody is enrolled without the text that is shown now: its hash must come back, and is recorded;
// - one hand or both, three plain captures of each; each capture says which hand it is of;
// - a use of the pass is gone when the person is in the record, and given back (within bounds) when they are not;
// - the phone number is answered to nobody and logged nowhere; a card is a name of the list of test cards.
import { bus, decode, edge } from "../../wire/codec.js";
import { type Answer, done, type Refused, refuse } from "../api/answer.js";
import type { ApiDeps } from "../api/api.js";
import type { Enrol } from "../api/enrol.js";
import {
  bad,
  type Checked,
  cardNumberRefused,
  checkCaptures,
  checkConsents,
  type EnrolOrder,
} from "../api/enrol-request.js";
import { valueHoldsCardNumber } from "../payments/card-number.js";
import { consentText } from "./consent-text.js";
import type { ForgetAuthority } from "./forget.js";
import { type EnrolPass, purposeOf } from "./pass.js";
import { checkPhone } from "./phone.js";
import { passRefused, refusePlace } from "./refusals.js";
import { testInstrument } from "./test-cards.js";

export const CAPTURES_PER_HAND = 3;
/** Hand positions: right, left. */
const POSITIONS: readonly number[] = [1, 2];

interface SelfEnrolOrder {
  pass: string;
  /** All but what the pass says. */
  person: Omit<EnrolOrder, "gallery">;
}

export interface SelfEnrolDeps extends ApiDeps {
  enrol: Enrol;
  authorities: ForgetAuthority;
}

export async function selfEnrol(deps: SelfEnrolDeps, body: Buffer): Promise<Answer> {
  const parsed = parseSelfEnrolRequest(body);
  if (!parsed.ok) return parsed.refused;
  const { pass, person } = parsed.value;
  const looked = await deps.passes.look(pass, "ENROL");
  if (!looked.ok) return passRefused(looked.code);
  const unfit = refusePlace(deps.site(), looked.pass) ?? refuseConsents(person, looked.pass);
  return unfit ?? enrolWithUse(deps, pass, person);
}

async function enrolWithUse(
  { passes, enrol, authorities }: SelfEnrolDeps,
  code: string,
  person: SelfEnrolOrder["person"],
): Promise<Answer> {
  const redeemed = await passes.redeem(code, "ENROL");
  if (!redeemed.ok) return passRefused(redeemed.code);
  const { gallery, site } = redeemed.pass;
  const result = await enrol({ ...person, gallery });
  if (result.ok) {
    const { member, templates } = result.enrolled;
    const { id: memberId } = member;
    const pairwiseId = member.pairwiseId(site);
    return done({ memberId, site, pairwiseId, templates, authority: authorities.of(memberId) }, 201);
  }
  const { memberHex: memberId } = result;
  if (memberId === undefined) {
    await redeemed.giveBack();
    return result.refused;
  }
  // In the record, and not confirmed in time: whoever is a member must be able to end it.
  return done({ memberId, site, authority: authorities.of(memberId) }, 202);
}

function parseSelfEnrolRequest(body: Uint8Array): Checked<SelfEnrolOrder> {
  const request = decode(bus.SelfEnrolRequest, body);
  if (!request) return bad("The body is not a protobuf SelfEnrolRequest.");
  const { pass, testCard, consentTextSha256 } = request;
  if (valueHoldsCardNumber({ pass, testCard })) return cardNumberRefused();
  if (Buffer.from(consentTextSha256).toString("hex") !== consentText.sha256Hex) {
    return { ok: false, refused: refuse("CONSENT_TEXT_CHANGED", "This is not the text that holds now.") };
  }
  const consents = checkConsents(request.consents);
  if (!consents.ok) return consents;
  const phone = checkPhone(request.phone);
  if (!phone.ok) return phone.code === "PHONE_INVALID" ? noPhone() : cardNumberRefused();
  const instrument = testCard === "" ? undefined : testInstrument(testCard);
  if (testCard !== "" && !instrument) return bad("testCard is none of the list.");
  if (consents.value.includes(edge.Purpose.PAY) && !instrument)
    return bad("Consent to PAY needs a test card.");
  const captures = checkHands(request.captures);
  if (!captures.ok) return captures;
  const person = {
    captures: captures.value,
    consents: consents.value,
    instrument,
    contact: { phone: phone.phone },
    // A copy: the request's own bytes are zeroed when it ends.
    consentTextSha256: Uint8Array.from(consentTextSha256),
  };
  return { ok: true, value: { pass, person } };
}

const noPhone = () => ({ ok: false, refused: refuse("PHONE_INVALID", "phone is no E.164 number.") }) as const;

/** One hand or both, each whole. */
function checkHands(captures: readonly bus.ICapture[]) {
  const perHand = POSITIONS.map((position) => captures.filter((each) => each.position === position).length);
  const inHands = perHand.reduce((sum, count) => sum + count, 0);
  const isWhole = inHands > 0 && perHand.every((count) => count === 0 || count === CAPTURES_PER_HAND);
  if (!isWhole || inHands !== captures.length) {
    return bad(
      `captures must be ${CAPTURES_PER_HAND} of the right hand (position 1), of the left (2), or of each.`,
    );
  }
  if (captures.some(({ encoding }) => encoding !== edge.Encoding.GRAY8)) {
    return bad("captures must be GRAY8: nothing of theirs is unpacked.");
  }
  return checkCaptures(captures);
}

function refuseConsents({ consents }: SelfEnrolOrder["person"], pass: EnrolPass): Refused | undefined {
  const allowed = consents.every((each) => {
    const purpose = purposeOf(each);
    return purpose !== undefined && pass.consents.includes(purpose);
  });
  return allowed ? undefined : refuse("BAD_REQUEST", "consents holds more than the pass allows.");
}
