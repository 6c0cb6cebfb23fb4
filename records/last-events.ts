// The last event of every subject that a filter covers: the state of things that are told by their last step.
//
// Invariants:
// - at most BATCH_EVENTS events are asked for before those are taken;
// - it ends with all of them, or throws LogUnavailableError: never with a part.
import { AckPolicy, DeliverPolicy, type JetStreamManager, type JsMsg } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { type LogEvent, LogUnavailableError } from "./event.js";
import { messageIdOf } from "./message-id.js";

const BATCH_EVENTS = 512;
const PULL_EXPIRES_MS = 2000;
const CONSUMER_IDLE_MS = 30_000;

export async function* lastEvents(
  manager: JetStreamManager,
  stream: string,
  filter: string,
): AsyncGenerator<LogEvent[]> {
  const info = await reading(() =>
    manager.consumers.add(stream, {
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.LastPerSubject,
      filter_subject: filter,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: nanos(CONSUMER_IDLE_MS),
    }),
  );
  const consumer = manager.jetstream().consumers.getConsumerFromInfo(info);
  try {
    let left = info.num_pending;
    let delivered = 0;
    while (left > 0) {
      const events = await reading(async () => {
        const messages = await consumer.fetch({
          max_messages: Math.min(BATCH_EVENTS, left),
          expires: PULL_EXPIRES_MS,
        });
        const taken: LogEvent[] = [];
        for await (const message of messages) {
          if (message.info.deliverySequence !== ++delivered) throw new Error("an event was lost on the way");
          left = message.info.pending;
          taken.push(eventOf(message));
        }
        return taken;
      });
      if (events.length > 0) yield events;
      // Nothing came: it was erased meanwhile, or the server is away.
      else left = await reading(async () => (await consumer.info()).num_pending);
    }
  } finally {
    // If this does not get through, the server forgets the consumer by itself after CONSUMER_IDLE_MS.
    consumer.delete().catch(() => {});
  }
}

export const eventOf = (message: JsMsg): LogEvent => ({
  subject: message.subject,
  sequence: message.info.streamSequence,
  atUnixMs: message.time.getTime(),
  body: message.data,
  ...messageIdOf(message.headers),
});

async function reading<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw new LogUnavailableError(String(error), { cause: error });
  }
}
