// One place where bytes become messages and messages become bytes, for the edge link (edge-codec.ts) and the bus.
import protobuf from "protobufjs/minimal.js";
import { palmgate } from "./generated/bus.js";

export { decode, edge, encode } from "./edge-codec.js";
export import bus = palmgate.bus;

/** A field of type bytes. */
export interface BytesField {
  number: number;
  bytes: Uint8Array;
}

const LENGTH_DELIMITED = 2;

/**
 * A message with fields that must leave no trace: written once, into one buffer, which is the caller's to wipe. The
 * encoder proper grows its buffer on the way and forgets the smaller ones as they are.
 * @param head the message's other fields, encoded
 */
export function encodeSecrets(head: Uint8Array, fields: readonly BytesField[]): Uint8Array {
  const parts = fields.flatMap(({ number, bytes }) => {
    const tag = ((number << 3) | LENGTH_DELIMITED) >>> 0;
    return [protobuf.Writer.create().uint32(tag).uint32(bytes.length).finish(), bytes];
  });
  const message = new Uint8Array(parts.reduce((sum, { length }) => sum + length, head.length));
  message.set(head);
  let at = head.length;
  for (const part of parts) {
    message.set(part, at);
    at += part.length;
  }
  return message;
}
