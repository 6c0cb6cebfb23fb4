// Publishes to JetStream and waits for the acknowledgement.
//
// Not the client library's own publish(): that builds an Error with a stack and four promises for every event that is
// stored, which is most of what recording a decision costs a gateway.
//
// Invariants:
// - one inbox subscription for the life of the connection;
// - publish() ends within its timeout and never rejects: the server's answer, or why there is none.
import { createInbox, headers, type Msg, type NatsConnection } from "@nats-io/transport-node";
import { z } from "zod";

/** The server's own words, as in its ADR-1 (JetStream JSON API). */
const ACK = z.union([
  z.object({
    seq: z.number().int().positive(),
    duplicate: z.boolean().default(false),
    error: z.undefined().optional(),
  }),
  z.object({ error: z.object({ err_code: z.number(), description: z.string().default("") }) }),
]);

export type Published =
  | { kind: "stored"; sequence: number; duplicate: boolean }
  /** @param code JetStream's own error number */
  | { kind: "refused"; code: number; detail: string }
  | { kind: "unknown"; detail: string };

interface Waiting {
  timer: NodeJS.Timeout;
  resolve(published: Published): void;
}

export interface PublishOptions {
  expectedSubjectSequence?: number | undefined;
  messageId?: string | undefined;
  /** The event leaves the log by itself after this; whole seconds, at least one. */
  ttlMs?: number | undefined;
}

export class Publisher {
  readonly #nc: NatsConnection;
  readonly #timeoutMs: number;
  readonly #inbox = createInbox();
  readonly #waiting = new Map<string, Waiting>();
  #published = 0;

  constructor(nc: NatsConnection, timeoutMs: number) {
    this.#nc = nc;
    this.#timeoutMs = timeoutMs;
    nc.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#answer(message.subject.slice(this.#inbox.length + 1), readAck(message));
      },
    });
  }

  publish(subject: string, body: Uint8Array, options: PublishOptions): Promise<Published> {
    return new Promise((resolve) => {
      const token = (this.#published++).toString(36);
      const timer = setTimeout(
        () => this.#answer(token, { kind: "unknown", detail: "no answer in time" }),
        this.#timeoutMs,
      );
      this.#waiting.set(token, { timer, resolve });
      try {
        this.#nc.publish(subject, body, {
          reply: `${this.#inbox}.${token}`,
          headers: headersOf(options),
        });
      } catch (error) {
        this.#answer(token, { kind: "unknown", detail: String(error) });
      }
    });
  }

  #answer(token: string, published: Published): void {
    const waiting = this.#waiting.get(token);
    if (waiting === undefined) return; // answered after its time
    this.#waiting.delete(token);
    clearTimeout(waiting.timer);
    waiting.resolve(published);
  }
}

function headersOf({ expectedSubjectSequence, messageId, ttlMs }: PublishOptions) {
  const given = headers();
  if (messageId !== undefined) given.set("Nats-Msg-Id", messageId);
  if (expectedSubjectSequence !== undefined)
    given.set("Nats-Expected-Last-Subject-Sequence", String(expectedSubjectSequence));
  if (ttlMs !== undefined) given.set("Nats-TTL", `${Math.max(1, Math.ceil(ttlMs / 1000))}s`);
  return given;
}

function readAck(message: Msg): Published {
  if (message.headers?.hasError === true) return { kind: "unknown", detail: message.headers.status };
  let content: unknown;
  try {
    content = JSON.parse(Buffer.from(message.data).toString());
  } catch {
    return { kind: "unknown", detail: "the acknowledgement is no JSON" };
  }
  const ack = ACK.safeParse(content);
  if (!ack.success) return { kind: "unknown", detail: "the acknowledgement is not understood" };
  if (ack.data.error !== undefined) {
    const { err_code: code, description: detail } = ack.data.error;
    return { kind: "refused", code, detail };
  }
  return { kind: "stored", sequence: ack.data.seq, duplicate: ack.data.duplicate };
}
