// Fills the demo's gallery through the desk's API, several requests at a time, as an operator's import would.
import { randomUUID } from "node:crypto";
import type { GreyImage } from "../../palm/index.js";
import { type bus, edge } from "../../wire/codec.js";
import type { ApiAnswer, Enrolment, OperatorApi } from "../operator-api.js";
import { GALLERY } from "../stack/stack.js";
import type { Person } from "./person.js";
import { openProgress, type Progress } from "./progress.js";

export interface Member {
  person: Person;
  enrolment: Enrolment;
}

const ENROLMENTS_IN_PARALLEL = 6;
const ENROLMENT_ATTEMPTS = 3;
/** Of the people, as a share: more of them left out and the demo would show nothing. */
const MOST_LEFT_OUT = 0.25;
const TAKE_AGAIN = new Set(["CAPTURES_DISAGREE", "LOW_QUALITY"]);
/** What passes by itself: asked again under the same key, so that nobody is enrolled twice. */
const ASK_AGAIN = new Set(["BUSY", "LOG_UNAVAILABLE", "NOT_YET_DURABLE"]);
const ASK_AGAIN_MS = 500;
const MOST_ASKS = 60;
/** Sandbox tokens by member, in turn: most cards pay, some do not. */
const CARDS = [
  "tok_approve",
  "tok_approve",
  "tok_approve",
  "tok_approve",
  "tok_approve",
  "tok_approve",
  "tok_decline",
  "tok_insufficient",
];

/**
 * Enrols everybody whose palm is not too much like one that is enrolled and whose captures agree: the gateway's check for
 * duplicates is wrong now and then, by its own target, some fail to enrol, and an operator would look at such cases.
 * @returns who was enrolled, in the order given
 * @throws Error with the gateway's own words when it refuses one for another reason, when over a quarter is left out,
 *   and the reason of `stop` when that fires
 */
export async function enrolAll(
  api: OperatorApi,
  people: readonly Person[],
  stop?: AbortSignal,
): Promise<Member[]> {
  const enrolments: (Enrolment | undefined)[] = [];
  let done = 0;
  const progress = openProgress("enrolling members", people.length);
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < people.length; index = next++) {
      stop?.throwIfAborted();
      const person = people[index];
      if (!person) return;
      enrolments[index] = await enrolOne(api, person, CARDS[index % CARDS.length] ?? "tok_approve", progress);
      progress.step(++done);
    }
  };
  await Promise.all(Array.from({ length: ENROLMENTS_IN_PARALLEL }, worker));
  const members = people.flatMap((person, index) => {
    const enrolment = enrolments[index];
    return enrolment ? [{ person, enrolment }] : [];
  });
  const leftOut = people.length - members.length;
  if (leftOut > people.length * MOST_LEFT_OUT) {
    throw new Error(
      `${leftOut} of ${people.length} people could not be enrolled: use clearer images of their palms`,
    );
  }
  return members;
}

/**
 * A person whose captures are refused takes new ones, as people do.
 * @returns undefined for a look-alike and, said on stderr, for a failure to enrol: one whose captures are refused every time
 */
async function enrolOne(
  api: OperatorApi,
  person: Person,
  token: string,
  progress: Progress,
): Promise<Enrolment | undefined> {
  for (let attempt = 0; ; attempt++) {
    const answer = await asked(api, enrolRequest(await person.enrolment(attempt), token));
    if (answer.ok) return answer.body;
    if (answer.code === "DUPLICATE_MEMBER") return undefined;
    const refusal = `${person.label} could not be enrolled: ${answer.code} ${answer.message} ${answer.next}`;
    if (!TAKE_AGAIN.has(answer.code)) throw new Error(refusal);
    if (attempt + 1 === ENROLMENT_ATTEMPTS) {
      progress.say(refusal);
      return undefined;
    }
  }
}

/** Until there is an answer that asking again does not change. */
async function asked(api: OperatorApi, request: bus.EnrolRequest.$Properties): Promise<ApiAnswer<Enrolment>> {
  const idempotencyKey = randomUUID();
  for (let asks = 1; ; asks++) {
    const answer = await api.enrol(request, { idempotencyKey });
    if (answer.ok || !ASK_AGAIN.has(answer.code) || asks === MOST_ASKS) return answer;
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
}

/** The request for one right hand with consent to everything and a sandbox card. */
export function enrolRequest(images: readonly GreyImage[], token: string): bus.EnrolRequest.$Properties {
  return {
    gallery: GALLERY,
    captures: images.map(({ width, height, pixels }) => ({
      encoding: edge.Encoding.GRAY8,
      widthPx: width,
      heightPx: height,
      modality: edge.Modality.VISIBLE,
      position: 1,
      image: pixels,
    })),
    consents: [edge.Purpose.ENTRY, edge.Purpose.PAY],
    instrument: { processor: "sandbox", token, brand: "visa", last4: "4242" },
  };
}
