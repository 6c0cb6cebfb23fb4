import protobuf from "protobufjs/minimal.js";
import { describe, expect, it, vi } from "vitest";
import { bus, decode, edge, encode, encodeSecrets } from "../../wire/codec.js";

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
      nearest: 1,
    });
    const probe = decode(bus.SearchRequest, bytes)?.probe;
    expect(probe?.buffer).toBe(bytes.buffer);
  });

  it("writes secret fields once, so that wiping what it gives leaves none of them", () => {
    const [probe, lines] = [new Uint8Array(1024).fill(7), new Uint8Array(16_000).fill(9)];
    const made: Uint8Array[] = [];
    const alloc = vi
      .spyOn(protobuf.BufferWriter as { alloc(size: number): Uint8Array }, "alloc")
      .mockImplementation((size: number) => {
        made.push(new Uint8Array(size));
        return made.at(-1) as Uint8Array;
      });
    try {
      const head = encode(bus.CompareRequest, { modelId: "m", handles: [3, 1] });
      const bytes = encodeSecrets(head, [
        { number: 6, bytes: probe },
        { number: 7, bytes: lines },
      ]);
      const message = decode(bus.CompareRequest, bytes);
      expect({ ...message, probe: message?.probe, lines: message?.lines }).toMatchObject({
        modelId: "m",
        handles: [3, 1],
        probe,
        lines,
      });
      expect(made.length).toBeGreaterThan(0);
      expect(Math.max(...made.map(({ length }) => length))).toBeLessThan(probe.length);
    } finally {
      alloc.mockRestore();
    }
  });

  it("answers undefined, and never throws, for bytes that are no message", () => {
    expect(decode(edge.ClientMessage, new Uint8Array([0x0a, 0xff]))).toBeUndefined();
  });
});
