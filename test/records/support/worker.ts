// A fake matcher: answers worker.<id>.shard.<shard>.applied as it is told to.
import type { NatsConnection } from "@nats-io/transport-node";
import { bus, decode, encode } from "../../../wire/codec.js";
import { appliedSubject } from "../../../wire/subjects.js";

type Status = Exclude<keyof typeof bus.AppliedStatus, "APPLIED_STATUS_UNSPECIFIED">;

export interface FakeWorker {
  requests: bus.AppliedRequest[];
  leave(): void;
}

/** @param answer "silent" takes the question and never answers */
export async function fakeWorker(
  nc: NatsConnection,
  { shard, workerId, instance = "i1" }: { shard: number; workerId: string; instance?: string },
  answer: Status | "silent" | ((request: bus.AppliedRequest) => Promise<Status>),
): Promise<FakeWorker> {
  const requests: bus.AppliedRequest[] = [];
  const subscription = nc.subscribe(appliedSubject(workerId, shard), {
    callback: (_error, message) => {
      const request = decode(bus.AppliedRequest, message.data);
      if (!request) return;
      requests.push(request);
      void (async () => {
        const status = typeof answer === "function" ? await answer(request) : answer;
        if (status === "silent") return;
        const reply = {
          workerId,
          instance,
          status: bus.AppliedStatus[status],
          appliedSequence: request.streamSequence,
        };
        message.respond(encode(bus.AppliedReply, reply));
      })();
    },
  });
  await nc.flush();
  return { requests, leave: () => subscription.unsubscribe() };
}
