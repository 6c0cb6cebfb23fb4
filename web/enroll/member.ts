// The last page: who one is now, and the way out again.
//
// Invariant: the authority to be forgotten lives in this page only, and is of use once: then there is nobody to forget.
import { element } from "../dom.js";
import { type Answer, forget, type Membership } from "./desk.js";
import { pressed, setText, showStep } from "./steps.js";

const RECEIPT_FILE = "palmgate-erasure-receipt.json";
const FORGET_PAUSE_MS = 3_000;
const MAX_FORGET_TRIES = 20;

export function showMembership(membership: Membership, site: string): void {
  const { memberId, pairwiseId } = membership;
  const isConfirmed = pairwiseId !== "";
  showStep("done");
  setText(
    "done-what",
    isConfirmed ? `Welcome to ${site}.` : "It may take a minute until every lane knows you.",
  );
  setText("member-id", memberId);
  setText("pairwise-id", isConfirmed ? pairwiseId : "not known yet");
  void offerToForget(membership);
}

async function offerToForget(membership: Membership): Promise<void> {
  const button = element("forget", HTMLButtonElement);
  for (;;) {
    await pressed("forget");
    button.disabled = true;
    const answer = await forgotten(membership);
    if (answer.ok) return showReceipt(answer.value);
    setText("forget-why", answer.why);
    button.disabled = false;
  }
}

/** An erasure that is under way goes on by itself: it is asked for its end. */
async function forgotten(membership: Membership): Promise<Answer<string>> {
  for (let tries = 1; ; tries++) {
    const answer = await forget(membership);
    if (answer.ok || answer.code !== "ERASURE_PENDING" || tries === MAX_FORGET_TRIES) return answer;
    setText("forget-why", "Your key is destroyed. Waiting until every copy is confirmed gone.");
    await new Promise((resolve) => setTimeout(resolve, FORGET_PAUSE_MS));
  }
}

function showReceipt(receipt: string): void {
  showStep("forgotten");
  const link = document.createElement("a");
  // Never revoked: some browsers read it only after the click, and there is one receipt.
  link.href = URL.createObjectURL(new Blob([receipt], { type: "application/json" }));
  link.download = RECEIPT_FILE;
  element("receipt", HTMLButtonElement).onclick = () => link.click();
}
