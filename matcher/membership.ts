// This worker among the others: says what it holds, hears what they hold, and opens and lets go accordingly.
//
// Invariants:
// - the plan is made anew after every change (galleries, workers, our own partitions) and every second: nothing that
//   was missed is missed for ever;
// - others hear of us every second, at once when something became ready, and at once when we leave;
// - on leaving we go on answering until the new holders are ready or the deadline has passed.
import type { NatsConnection } from "@nats-io/transport-node";
import type { bus } from "../wire/codec.js";
import { type Gallery, watchGalleries } from "../wire/galleries.js";
import { WORKER_HEARTBEAT_INTERVAL_MS } from "../wire/limits.js";
import type { Log } from "../wire/log.js";
import { openAnnouncer, watchWorkers } from "../wire/workers.js";
import { planFor, refKey } from "./plan.js";
import type { PartitionThreads } from "./threads.js";

/** How long a leaving worker waits for those that take over. */
const LEAVE_DEADLINE_MS = 5000;

export interface Membership {
  /** To be called when a partition of ours became ready or was closed. */
  changed(): void;
  /** Says farewell and waits until nothing is held here that nobody else serves, at most 5 s. */
  leave(): Promise<void>;
}

export interface MembershipOptions {
  nc: NatsConnection;
  workerId: string;
  threads: PartitionThreads;
  log: Log;
}

export async function openMembership(options: MembershipOptions): Promise<Membership> {
  const { nc, workerId, threads, log } = options;
  const startedUnixMs = Date.now();
  const announcer = openAnnouncer(nc, log);
  let galleries: Gallery[] = [];
  let workers: bus.IWorkerState[] = [];
  let leaving = false;
  let onNothingHeld = () => {};

  const stateNow = (): bus.IWorkerState => ({
    workerId,
    startedUnixMs,
    partitions: threads.held().map(({ gallery, partition, ready, templates, members, appliedSequence }) => ({
      gallery,
      partition,
      ready,
      templates,
      members,
      appliedSequence,
    })),
  });
  const heartbeat = oneAtATime(async () => {
    if (!leaving) await announcer.say(stateNow());
  });

  const replan = () => {
    const held = threads.held();
    const plan = planFor({ self: workerId, leaving, galleries, workers, held });
    for (const { gallery, partition } of plan.open) {
      const facts = galleries.find(({ name }) => name === gallery);
      if (facts) threads.open(facts, partition);
    }
    for (const ref of plan.close) {
      if (held.some((each) => refKey(each) === refKey(ref) && !each.closing)) {
        log.info({ partition: refKey(ref) }, "letting go: its holders are ready");
      }
      threads.close(ref);
    }
    if (threads.held().length === 0) onNothingHeld();
  };

  // Others first: a worker that does not know them yet would take everything.
  const workersWatch = await watchWorkers(
    nc,
    (states) => {
      workers = states;
      replan();
    },
    log,
  );
  const galleriesWatch = await watchGalleries(
    nc,
    (all) => {
      galleries = all;
      replan();
      heartbeat();
    },
    log,
  );
  heartbeat();
  const timer = setInterval(() => {
    replan();
    heartbeat();
  }, WORKER_HEARTBEAT_INTERVAL_MS);

  return {
    changed() {
      heartbeat();
      replan();
    },
    async leave() {
      leaving = true;
      await heartbeat.idle();
      await announcer.leave(workerId);
      await new Promise<void>((resolve) => {
        const deadline = setTimeout(() => {
          log.warn({ held: threads.held().length }, "leaving although nobody took over");
          resolve();
        }, LEAVE_DEADLINE_MS);
        onNothingHeld = () => {
          clearTimeout(deadline);
          resolve();
        };
        replan();
      });
      clearInterval(timer);
      workersWatch.stop();
      galleriesWatch.stop();
    },
  };
}

/** Runs `act` now, or once more after the run under way: never twice at a time, and the last call is never lost. */
function oneAtATime(act: () => Promise<void>): (() => void) & { idle(): Promise<void> } {
  let running: Promise<void> | undefined;
  let again = false;
  const loop = async () => {
    do {
      again = false;
      await act();
    } while (again);
    running = undefined;
  };
  const call = () => {
    if (running) again = true;
    else running = loop();
  };
  return Object.assign(call, { idle: async () => await running });
}
