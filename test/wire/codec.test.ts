import { describe, expect, it } from "vitest";
import { bus, decode, edge, encode } from "../../wire/codec.js";

describe("codec", () => {
  it("writes a heartbeat byte for byte as the wire says", () => {
    const bytes = encode(edge.ClientMessage, { heartbeat: { sentUnixMs: 300 } });
    expect(Buffer.from(bytes).toString("hex")).toBe("22" + "03" + "08" + "ac02");
  });

  it("reads times as numbers", () => {
    const now = 1_800_000_000_123;
    const bytes = encode(edge.ClientMessage, { heartbeat: { sentUnixMs: now } });
    expect(decode(edge.ClientMessage, bytes)?.heartbeat?.sentUnixMs).toBe(now);
  });

  it("gives bytes as a view on the input, not a copy", () => {
    const bytes = encode(bus.SearchRequest, {
      modelId: "m",
      probe: new Uint8Array([1, 2, 3]),
      maxCandidates: 1,
    });
    const probe = decode(bus.SearchRequest, bytes)?.probe;
    expect(probe?.buffer).toBe(bytes.buffer);
  });

  it("answers undefined, and never throws, for bytes that are no message", () => {
    expect(decode(edge.ClientMessage, new Uint8Array([0x0a, 0xff]))).toBeUndefined();
  });
});
