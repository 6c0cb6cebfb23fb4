// The page /enroll: a person becomes a member with their own hands, and may be forgotten again.
//
// Follow it from here:
//   questions.ts   pass, consent, phone number, test card
//   hands.ts       right hand, left hand: ../camera.ts, ../watch.ts, ../sight.ts, and captures.ts chooses the pictures
//   gateway.ts     the enrolment, and the erasure
//
// Invariants: crops leave the page for the gateway only, and are zeroed when it has them; whole pictures never leave it;
// the pass outlives a reload of this tab, and nothing else does.
import type { HandSide } from "../../palm/hand/index.js";
import { element } from "../dom.js";
import { passInAddress } from "../lane/pairing.js";
import { openSight } from "../sight.js";
import { loadTexts } from "../texts.js";
import type { HandCaptures } from "./captures.js";
import { type Answer, enrol, forget, type Membership, type Order } from "./gateway.js";
import { type HandParts, photograph } from "./hands.js";
import { type Admitted, askCard, askConsent, askPass, askPhone } from "./questions.js";
import { pressed, setText, showStep } from "./steps.js";

const PASS_KEY = "palmgate-enrol-pass";
const FORGET_PAUSE_MS = 3_000;
const MAX_FORGET_TRIES = 20;

/** Refusals that other answers of the person mend, by the step that asks for them. */
const MENDED_BY: Readonly<Record<string, "pass" | "phone" | "hands">> = {
  PASS_UNKNOWN: "pass",
  PASS_EXPIRED: "pass",
  PASS_USED: "pass",
  PASS_WRONG_KIND: "pass",
  CONSENT_TEXT_CHANGED: "pass",
  PHONE_INVALID: "phone",
  CARD_NUMBER_REFUSED: "phone",
  LOW_QUALITY: "hands",
  BAD_IMAGE: "hands",
  CAPTURES_DISAGREE: "hands",
};

type Hands = Record<HandSide, HandCaptures>;

async function run(): Promise<void> {
  const given = passInAddress() ?? sessionStorage.getItem(PASS_KEY) ?? undefined;
  let admitted = await askPass(given);
  // Some megabytes, while the person reads.
  const parts = openParts();
  parts.catch(() => undefined);
  let person = await askPerson(admitted);
  let hands = await photographBoth(await parts, 4);
  for (;;) {
    showStep("failed");
    const answer = await send(admitted, person, hands);
    if (answer.ok) return membership(answer.value, admitted);
    const mend = MENDED_BY[answer.code];
    if (mend === "pass") {
      admitted = await askPass(admitted.pass, answer.why);
      person = await askPerson(admitted);
    } else if (mend === "phone") {
      person = { ...person, phone: await askPhone("Step 2 of 4", answer.why) };
    } else {
      await failed(answer.why, mend === "hands" ? "Take the pictures again" : "Try again");
      if (mend === "hands") {
        clear(hands);
        hands = await photographBoth(await parts, 4);
      }
    }
  }
}
