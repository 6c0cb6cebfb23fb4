// The sight worker: owns the two networks and the hand that it follows from frame to frame.
//
// Invariants:
// - a frame's pixels are zeroed before the answer goes out, whatever happened;
// - a crop is transferred to the page, not copied: none stays here.
import { HandSight, type Look } from "../palm/hand/index.js";
import type { SightAnswer, SightQuestion } from "./sight-messages.js";
import { openWebNetworks } from "./web-networks.js";

let sight: HandSight | undefined;

async function answerTo(question: SightQuestion): Promise<SightAnswer | undefined> {
  switch (question.kind) {
    case "open":
      sight = new HandSight(await openWebNetworks());
      return { kind: "opened" };
    case "look":
      return { kind: "look", look: await look(question) };
    case "forget":
      sight?.forget();
      return undefined;
  }
}

async function look({ image, nowMs }: SightQuestion & { kind: "look" }): Promise<Look> {
  if (!sight) throw new Error("the networks are not open yet");
  try {
    return await sight.look(image, nowMs);
  } finally {
    image.pixels.fill(0);
  }
}

self.onmessage = async ({ data }: MessageEvent<SightQuestion>) => {
  try {
    const answer = await answerTo(data);
    if (answer) say(answer);
  } catch (error) {
    say({ kind: "failed", why: error instanceof Error ? error.message : String(error) });
  }
};

function say(answer: SightAnswer): void {
  const crop = answer.kind === "look" && answer.look.kind === "palm" ? [answer.look.roi.pixels.buffer] : [];
  self.postMessage(answer, { transfer: crop });
}
