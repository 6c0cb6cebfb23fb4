import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lineSimilarity } from "../../../palm/lines/compare.js";
import {
  compareFrames,
  FRAMES,
  FRAMES_FIELD_NUMBERS,
  framedLineMaps,
  PROBE_LINES_WORDS,
  TEMPLATE_LINES_WORDS,
} from "../../../palm/lines/frames.js";
import { FIELD_NUMBERS, lineMaps } from "../../../palm/lines/line-map.js";
import { smoothField } from "./fields.js";

const seeds = fc.integer({ min: 0, max: 1_000_000 });

/** The fields of a palm whose frames are of these two seeds. */
function fieldsOf(straight: number, came: number): Float32Array {
  const fields = new Float32Array(FRAMES_FIELD_NUMBERS);
  fields.set(smoothField(straight));
  fields.set(smoothField(came), FIELD_NUMBERS);
  return fields;
}

const templateOf = (probe: Uint32Array) => probe.subarray(0, TEMPLATE_LINES_WORDS);

describe("line maps of two frames", () => {
  it("say the larger of what the frames say, each compared with itself alone", () => {
    fc.assert(
      fc.property(fc.tuple(seeds, seeds), fc.tuple(seeds, seeds), (here, there) => {
        const [probe, template] = [framedLineMaps(fieldsOf(...here)), framedLineMaps(fieldsOf(...there))];
        const frames = Array.from({ length: FRAMES }, (_, frame) =>
          lineSimilarity(lineMaps(smoothField(here[frame] ?? 0)), lineMaps(smoothField(there[frame] ?? 0))),
        );
        expect([...compareFrames(probe, [templateOf(template)])]).toEqual([Math.max(...frames)]);
      }),
      { numRuns: 5 },
    );
  });

  it("know a palm by either frame, whatever the other is like", () => {
    const probe = framedLineMaps(fieldsOf(1, 2));
    const templates = [fieldsOf(1, 3), fieldsOf(3, 2), fieldsOf(2, 1)].map(framedLineMaps).map(templateOf);
    const [straight, came, swapped] = compareFrames(probe, templates);
    expect([straight, came]).toEqual([1, 1]);
    expect(swapped).toBeLessThan(0.7);
  });

  it("begin with those of a template", () => {
    const probe = framedLineMaps(fieldsOf(4, 5));
    expect(compareFrames(probe, [probe])).toEqual(compareFrames(probe, [templateOf(probe)]));
    expect(compareFrames(probe, [probe])).toEqual(Float32Array.of(1));
  });

  it("leave their input as it was, and take whole ones only", () => {
    const probe = framedLineMaps(fieldsOf(6, 7));
    const before = probe.slice();
    compareFrames(probe, [templateOf(probe)]);
    expect(probe).toEqual(before);
    expect(probe).toHaveLength(PROBE_LINES_WORDS);
    expect(() => compareFrames(probe.subarray(1), [])).toThrow(RangeError);
    expect(() => compareFrames(probe, [templateOf(probe).subarray(1)])).toThrow(RangeError);
    expect(() => framedLineMaps(new Float32Array(FIELD_NUMBERS))).toThrow(RangeError);
  });
});
