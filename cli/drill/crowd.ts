// The crowd of a drill: people with synthetic palms who enter, pay, enrol and ask to be forgotten, while the machines under
// them die. It keeps its own books of what was told to whom, and nothing else.
//
// Invariants:
// - a person is at one lane at a time; whoever is being enrolled or erased may still step up, and is marked unsure;
// - an order is presented until it is granted or refused, under one reference, at most MAX_TRIES times;
// - what is asked of a desk without an answer is asked again under the same key until there is one: only what was
//   acknowledged counts as acknowledged.
import { randomUUID } from "node:crypto";
import { type Agent, startAgent } from "../../edge-agent/agent.js";
import { loadDeviceKey } from "../../edge-agent/device-key.js";
import { edge } from "../../wire/codec.js";
import { toHex } from "../../wire/hex.js";
import type { Log } from "../../wire/log.js";
import { enrolRequest } from "../demo/enrol.js";
import { syntheticPerson } from "../demo/people.js";
import type { Enrolment, OperatorApi } from "../operator-api.js";
import type { Stack, StackDevice } from "../stack/stack.js";
import type { EnrolledBy, Operations, Presented } from "./verdict.js";

export const LANES: StackDevice[] = [
  { id: "gate-1", site: "north", purpose: "ENTRY" },
  { id: "gate-2", site: "north", purpose: "ENTRY" },
  { id: "till-1", site: "south", purpose: "PAY" },
  { id: "till-2", site: "south", purpose: "PAY" },
];
const FIRST_SEED = 50_000;
/** Presentations of one person that a calm system recognises; the drill presents no others. */
const STEADY_PRESENTATIONS = 2;
const MAX_TRIES = 3;
const REST_MS = 30;
const DESK_REST_MS = 400;
const ASK_AGAIN_MS = 250;
const MOST_ASKS = 400;
/** Of what may be asked again: the desk or what it needs is away. */
const PASSING = new Set([
  "NO_ANSWER",
  "NOT_JSON",
  "BUSY",
  "LOG_UNAVAILABLE",
  "NOT_YET_DURABLE",
  "ERASURE_PENDING",
  "INTERNAL",
]);

interface Person {
  seed: number;
  member: Enrolment | undefined;
  erased: Enrolment[];
  /** Enrolments and erasures begun or ended so far. */
  changes: number;
  changing: boolean;
  atLane: boolean;
  /** Of presentation(n), those that are recognised in calm. */
  steady: number[];
}

export interface CrowdOptions {
  stack: Stack;
  /** In turn, as a balancer would. */
  desks: readonly OperatorApi[];
  people: number;
  random(): number;
  log: Log;
}

export class Crowd {
  readonly #options: CrowdOptions;
  readonly #people: Person[];
  readonly #presented: Presented[] = [];
  readonly #served = new Set<string>();
  readonly #agents: Agent[] = [];
  #asks = 0;
  #signal: AbortSignal = AbortSignal.abort();
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: CrowdOptions) {
    this.#options = options;
    this.#people = Array.from({ length: options.people }, (_, at) => ({
      seed: FIRST_SEED + at,
      member: undefined,
      erased: [],
      changes: 0,
      changing: false,
      atLane: false,
      steady: [],
    }));
  }

  /** Links the lanes, enrols half of the people, and finds out which presentations are steady. */
  async prepare(onProgress: (text: string) => void): Promise<void> {
    const { stack, log } = this.#options;
    for (const { id } of LANES) {
      const gate = {
        open: async ({ presentationId }: edge.Decision.$Properties) => {
          this.#served.add(toHex(presentationId ?? new Uint8Array()));
          return { ok: true } as const;
        },
      };
      const key = loadDeviceKey(stack.deviceKeyFile(id));
      this.#agents.push(await startAgent({ gateway: stack.linkUrl, deviceId: id, key, gate, log }));
    }
    const gate = this.#agents[0];
    if (gate === undefined) throw new Error("a drill needs a lane");
    for (const [at, person] of this.#people.entries()) {
      await this.#enrol(person);
      for (let n = 0; person.member !== undefined && n < 2 * STEADY_PRESENTATIONS; n++) {
        const end = await gate.present(await syntheticPerson(person.seed).presentation(n));
        const isSteady = end.kind === "decision" && end.decision.outcome === edge.Outcome.MATCH;
        if (isSteady && person.steady.length < STEADY_PRESENTATIONS) person.steady.push(n);
      }
      // Every other one begins as a stranger.
      if (at % 2 === 1) await this.#erase(person);
      if ((at + 1) % 10 === 0) onProgress(`prepared ${at + 1} of ${this.#people.length} people`);
    }
  }

  /** Begins; ends what it has begun once the signal fires: see ended(). */
  run(signal: AbortSignal): void {
    this.#signal = signal;
    this.#running = Promise.all([
      ...LANES.map((lane, at) => this.#attend(lane, this.#agents[at] as Agent)),
      this.#keepChanging(),
    ]);
  }

  async ended(): Promise<void> {
    await this.#running;
  }

  async close(): Promise<void> {
    await Promise.all(this.#agents.map((agent) => agent.close()));
  }

  /** What was done and told so far. */
  operations(): Operations {
    const of = (person: number, each: Enrolment): EnrolledBy => ({ person, memberId: each.memberId });
    return {
      presented: this.#presented,
      living: this.#people.flatMap(({ seed, member, changing }) =>
        member && !changing ? [of(seed, member)] : [],
      ),
      erased: this.#people.flatMap(({ seed, erased }) => erased.map((each) => of(seed, each))),
    };
  }

  async #attend(lane: StackDevice, agent: Agent): Promise<void> {
    while (!this.#signal.aborted) {
      const person = this.#pick(({ atLane, steady }) => !atLane && steady.length > 0);
      if (person !== undefined) {
        person.atLane = true;
        await this.#visit(lane, agent, person).finally(() => {
          person.atLane = false;
        });
      }
      await rest(REST_MS);
    }
  }

  async #visit(lane: StackDevice, agent: Agent, person: Person): Promise<void> {
    const charge =
      lane.purpose === "PAY"
        ? {
            amountMinor: 100 + Math.floor(this.#options.random() * 900),
            currency: "EUR",
            orderRef: randomUUID(),
          }
        : undefined;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const { outcome } = await this.#present(lane, agent, person, charge);
      if (outcome !== "UNDECIDED" && outcome !== "NO_DECISION") return;
      if (this.#signal.aborted) return;
    }
  }

  async #present(
    { site }: StackDevice,
    agent: Agent,
    person: Person,
    charge: { amountMinor: number; currency: string; orderRef: string } | undefined,
  ): Promise<Presented> {
    const { steady, changes, changing, member, erased } = person;
    const n = steady[Math.floor(this.#options.random() * steady.length)] ?? 0;
    const truth = member?.pairwiseIds[site];
    const dead = erased.map(({ pairwiseIds }) => pairwiseIds[site] ?? "");
    const end = await agent.present(await syntheticPerson(person.seed).presentation(n), { charge });
    const decision = end.kind === "decision" ? end.decision : undefined;
    const presentationHex = toHex(end.presentationId);
    const presented: Presented = {
      person: person.seed,
      truth,
      erased: dead,
      unsure: changing || person.changes !== changes,
      outcome:
        decision === undefined
          ? "NO_DECISION"
          : (edge.Outcome[decision.outcome ?? 0] as Presented["outcome"]),
      pairwiseId: decision?.pairwiseId ?? "",
      granted: decision?.granted ?? false,
      served: this.#served.has(presentationHex),
      presentationHex,
      orderRef: charge?.orderRef,
    };
    this.#presented.push(presented);
    return presented;
  }

  /** One after the other: somebody enrols, somebody is erased. */
  async #keepChanging(): Promise<void> {
    while (!this.#signal.aborted) {
      const stranger = this.#pick(({ member, changing }) => member === undefined && !changing);
      if (stranger !== undefined) await this.#enrol(stranger);
      await rest(DESK_REST_MS);
      const member = this.#pick(({ member, changing }) => member !== undefined && !changing);
      if (member !== undefined && this.#options.random() < 0.5) await this.#erase(member);
      await rest(DESK_REST_MS);
    }
  }

  async #enrol(person: Person): Promise<void> {
    const images = await syntheticPerson(person.seed).enrolment(0);
    const idempotencyKey = randomUUID();
    await this.#change(person, async () => {
      const answer = await this.#asked((desk) =>
        desk.enrol(enrolRequest(images, "tok_approve"), { idempotencyKey }),
      );
      // A look-alike of somebody stays a stranger.
      if (answer?.ok) person.member = answer.body;
    });
  }

  async #erase(person: Person): Promise<void> {
    const { member } = person;
    if (member === undefined) return;
    await this.#change(person, async () => {
      const answer = await this.#asked((desk) => desk.erase(member.memberId));
      if (!answer?.ok)
        throw new Error(`the erasure of ${member.memberId} came to no end: ${answer?.code ?? "no answer"}`);
      person.member = undefined;
      person.erased.push(member);
    });
  }

  async #change(person: Person, change: () => Promise<void>): Promise<void> {
    person.changing = true;
    person.changes += 1;
    await change();
    person.changes += 1;
    person.changing = false;
  }

  /** Until there is an answer that will not change by asking again. */
  async #asked<A extends { ok: true } | { ok: false; code: string }>(
    ask: (desk: OperatorApi) => Promise<A>,
  ): Promise<A | undefined> {
    const { desks } = this.#options;
    let answer: A | undefined;
    for (let asks = 0; asks < MOST_ASKS; asks++) {
      const desk = desks[this.#asks++ % desks.length];
      if (desk === undefined) throw new Error("a drill needs a desk");
      answer = await ask(desk);
      if (answer.ok || !PASSING.has(answer.code)) return answer;
      await rest(ASK_AGAIN_MS);
    }
    return answer;
  }

  #pick(fits: (person: Person) => boolean): Person | undefined {
    const fitting = this.#people.filter(fits);
    return fitting[Math.floor(this.#options.random() * fitting.length)];
  }
}

export const rest = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
