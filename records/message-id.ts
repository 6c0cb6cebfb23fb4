// Reads the message id that an event was appended with from its NATS headers.
import type { MsgHdrs } from "@nats-io/transport-node";

/** An object to spread: with the id, or empty. */
export function messageIdOf(headers: MsgHdrs | undefined): { messageId: string } | Record<string, never> {
  const messageId = headers?.get("Nats-Msg-Id") ?? "";
  return messageId === "" ? {} : { messageId };
}
