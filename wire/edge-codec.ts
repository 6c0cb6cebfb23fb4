// Where bytes become messages of the edge link and messages become bytes: all that a lane needs, in a browser too.
// (codec.ts adds the bus, which is spoken between the house's own processes.)
//
// Invariants:
// - decoding never throws: bytes from outside end as a message or as `undefined` (the caller counts and answers);
// - `bytes` fields of a decoded message are views on the input: whoever keeps one past the input's life copies it;
// - 64-bit integers are JavaScript numbers (times, amounts and sequences stay below 2^53).
import protobuf from "protobufjs/minimal.js";
import { palmgate } from "./generated/palmgate.js";

// Without Long the runtime reads 64-bit integers as numbers, which is what the generated types say.
protobuf.util.Long = undefined as never;
protobuf.configure();

export import edge = palmgate.edge;

interface MessageType<T> {
  decode(bytes: Uint8Array): T;
}

interface EncodableType<P> {
  encode(properties: P): { finish(): Uint8Array };
}

/** Decodes one message; `undefined` when the bytes are not one. Never throws. */
export function decode<T>(type: MessageType<T>, bytes: Uint8Array): T | undefined {
  try {
    return type.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Encodes one message into bytes of its own. */
export function encode<P>(type: EncodableType<P>, properties: P): Uint8Array {
  return type.encode(properties).finish();
}
