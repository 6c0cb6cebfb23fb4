import { describe, expect, it } from "vitest";
import { admitCharge, refuseFrame } from "../../../gateway/lane/admit.js";
import { edge } from "../../../wire/codec.js";

const frame = (more: Partial<edge.IFrame> = {}) =>
  new edge.Frame({
    presentationId: new Uint8Array(16),
    encoding: edge.Encoding.GRAY8,
    widthPx: 128,
    heightPx: 64,
    stage: edge.Stage.ROI,
    modality: edge.Modality.NIR,
    image: new Uint8Array(128 * 64),
    ...more,
  });
const charge = { amountMinor: 250, currency: "EUR", orderRef: "order-7" };

describe("what a frame must be", () => {
  it("takes one that is as the wire says", () => {
    expect(refuseFrame(frame())).toBeUndefined();
    expect(refuseFrame(frame({ encoding: edge.Encoding.JPEG, image: new Uint8Array(9) }))).toBeUndefined();
  });

  it.each([
    ["BAD_PRESENTATION", { presentationId: new Uint8Array(15) }],
    ["STAGE_UNSUPPORTED", { stage: edge.Stage.FULL }],
    ["STAGE_UNSUPPORTED", { stage: edge.Stage.STAGE_UNSPECIFIED }],
    ["IMAGE_TOO_LARGE", { widthPx: 1025 }],
    ["IMAGE_TOO_LARGE", { heightPx: 63 }],
    ["IMAGE_TOO_LARGE", { widthPx: 4_294_967_295 }],
    ["BAD_IMAGE", { modality: edge.Modality.MODALITY_UNSPECIFIED }],
    ["BAD_IMAGE", { encoding: 77 as edge.Encoding }],
    ["BAD_IMAGE", { image: new Uint8Array(0) }],
    ["BAD_IMAGE", { image: new Uint8Array(128 * 64 - 1) }],
  ] as const)("refuses with %s: %o", (code, wrong) => {
    expect(refuseFrame(frame(wrong))).toBe(code);
  });
});

describe("a charge", () => {
  it("is needed on the first frame of a PAY lane, and may be left out later", () => {
    expect(admitCharge(undefined, true, undefined)).toEqual({ ok: false });
    expect(admitCharge(charge, true, undefined)).toEqual({ ok: true, charge });
    expect(admitCharge(undefined, true, { charge })).toEqual({ ok: true, charge });
  });

  it("must not change within the presentation", () => {
    expect(admitCharge({ ...charge, amountMinor: 251 }, true, { charge })).toEqual({ ok: false });
    expect(admitCharge({ ...charge }, true, { charge })).toEqual({ ok: true, charge });
  });

  it("has no place on an ENTRY lane", () => {
    expect(admitCharge(charge, false, undefined)).toEqual({ ok: false });
    expect(admitCharge(undefined, false, undefined)).toEqual({ ok: true, charge: undefined });
  });

  it.each([
    { amountMinor: 0 },
    { amountMinor: 100_000_001 },
    { amountMinor: Number.MAX_SAFE_INTEGER },
    { currency: "eur" },
    { currency: "EURO" },
    { orderRef: "ö".repeat(33) },
    { orderRef: "4111 1111 1111 1111" },
  ])("is refused when it is malformed or holds a card number: %o", (wrong) => {
    expect(admitCharge({ ...charge, ...wrong }, true, undefined)).toEqual({ ok: false });
  });
});
