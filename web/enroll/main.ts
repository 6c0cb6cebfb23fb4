// The page /enroll: a person becomes a member with their own hands, and may be forgotten again.
//
// Follow it from here:
//   questions.ts   pass, consent, phone number, test card
//   hands.ts       right hand, left hand: ../camera.ts, ../watch.ts, ../sight.ts; captures.ts chooses the pictures
//   gateway.ts     the enrolment
//   member.ts      who one is now, and the way out again
//
// Invariants: crops leave the page for the gateway only, and are zeroed when it has them; whole pictures never leave it;
// the pass outlives a reload of this tab until it is used, and nothing else does.
import type { HandSide } from "../../palm/hand/index.js";
import { passInAddress } from "../pass.js";
import { openSight } from "../sight.js";
import { loadTexts } from "../texts.js";
import type { HandCaptures } from "./captures.js";
import { type Answer, enrol, type Membership, type Purpose } from "./desk.js";
import { type HandParts, photograph } from "./hands.js";
import { showMembership } from "./member.js";
import { type Admitted, askCard, askConsent, askPass, askPhone } from "./questions.js";
import { pressed, setText, showStep } from "./steps.js";

const PASS_KEY = "palmgate-enrol-pass";

/** Refusals that other answers of the person mend, and which. */
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

type Hands = Readonly<Record<HandSide, HandCaptures>>;

/** Everything but the hands. */
interface Answers extends Admitted {
  consents: readonly Purpose[];
  phone: string;
  testCard: string;
}

async function run(): Promise<void> {
  let answers = await askAll(passInAddress() ?? sessionStorage.getItem(PASS_KEY) ?? undefined);
  const parts = await loadParts();
  let hands = await photographBoth(answers, parts);
  for (;;) {
    const sent = await send(answers, hands);
    if (sent.ok) return welcome(sent.value, answers, hands);
    const mend = MENDED_BY[sent.code];
    if (mend === "pass") answers = await askAll(answers.pass, sent.why);
    else if (mend === "phone") answers = { ...answers, phone: await askPhone("", sent.why) };
    else {
      await failed(sent.why, mend === "hands" ? "Take the pictures again" : "Try again");
      if (mend === "hands") hands = await photographAgain(hands, answers, parts);
    }
  }
}

/** @param pass tried first @param why what is said first, when an earlier answer would not do */
async function askAll(pass: string | undefined, why = ""): Promise<Answers> {
  const admitted = await askPass(pass);
  sessionStorage.setItem(PASS_KEY, admitted.pass);
  // Another pass has mended what was wrong with the first.
  const isSame = admitted.pass === pass;
  const consents = await askConsent(admitted.terms, "Step 1: what you agree to", isSame ? why : "");
  const phone = await askPhone("Step 2: your number");
  const testCard = consents.includes("PAY") ? await askCard(admitted.terms, "Step 3: a card") : "";
  return { ...admitted, consents, phone, testCard };
}

async function loadParts(): Promise<HandParts> {
  const title = "Loading the palm reader";
  showStep("sending");
  setText("sending-title", title);
  setText("sending-what", "Some megabytes, once. Pictures are looked at in this browser, not elsewhere.");
  const [sight, texts] = await Promise.all([openSight(), loadTexts()]);
  return { sight, texts };
}

async function photographBoth({ testCard }: Answers, parts: HandParts): Promise<Hands> {
  const first = testCard === "" ? 3 : 4;
  const progress = (side: HandSide) => `Step ${side === "RIGHT" ? first : first + 1}: your hands`;
  const RIGHT = await photograph("RIGHT", parts, { progress: progress("RIGHT"), maySkip: true });
  // One hand is enough, none is not.
  const maySkip = RIGHT.taken.length > 0;
  const LEFT = await photograph("LEFT", parts, { progress: progress("LEFT"), maySkip });
  return { RIGHT, LEFT };
}

async function photographAgain(hands: Hands, answers: Answers, parts: HandParts): Promise<Hands> {
  clear(hands);
  return photographBoth(answers, parts);
}

const clear = (hands: Hands): void => {
  for (const captures of Object.values(hands)) captures.clear();
};

function send(
  { pass, terms, consents, phone, testCard }: Answers,
  hands: Hands,
): Promise<Answer<Membership>> {
  showStep("sending");
  setText("sending-title", "One moment");
  setText("sending-what", "Your pictures become numbers, and the numbers are locked away.");
  const captures = { RIGHT: hands.RIGHT.taken, LEFT: hands.LEFT.taken };
  return enrol({ pass, textSha256: terms.textSha256, consents, phone, testCard, captures });
}

async function failed(why: string, again: string): Promise<void> {
  showStep("failed");
  setText("failed-why", why);
  setText("again", again);
  await pressed("again");
}

function welcome(membership: Membership, { terms }: Answers, hands: Hands): void {
  clear(hands);
  sessionStorage.removeItem(PASS_KEY);
  showMembership(membership, terms.site);
}

run().catch((error: unknown) => {
  console.error(error);
  void failed("This page has stopped. Please load it again.", "Load again").then(() => location.reload());
});
