// `palmgate bench search`: what it draws is like what it was fitted to, and what it prints can be read by a program.
import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { draw, fitGaussian, fitSignatures, describe as similarities } from "../../bench/drawn-signatures.js";
import { gaussian, seeded, unit } from "../../bench/seeded.js";
import { PALMGATE_JS } from "../../cli/stack/child.js";

describe("drawn signatures", () => {
  it("have the mean and the covariance that they were fitted to", () => {
    const random = seeded(1);
    const rows = Array.from({ length: 4000 }, () => {
      const shared = gaussian(random);
      return Float64Array.of(1 + shared, 2 + 0.5 * shared + gaussian(random), gaussian(random) * 0.1);
    });
    const fitted = fitGaussian(rows, rows.length - 1);
    const drawn = fitGaussian(
      Array.from({ length: 20_000 }, () => draw(fitted, random)),
      19_999,
    );
    for (let i = 0; i < 3; i++) expect(drawn.mean[i]).toBeCloseTo(fitted.mean[i] ?? 0, 1);
    // The factor of [[1, .5], [.5, 1.25]] is [[1, 0], [.5, 1]].
    expect(fitted.factor[0]).toBeCloseTo(1, 1);
    expect(fitted.factor[3]).toBeCloseTo(0.5, 1);
    expect(fitted.factor[4]).toBeCloseTo(1, 1);
    for (let i = 0; i < 9; i++) expect(drawn.factor[i]).toBeCloseTo(fitted.factor[i] ?? 0, 1);
  });

  it("are as alike, within and between identities, as the signed ones", () => {
    const random = seeded(2);
    const dimension = 32;
    const vector = (scale: number) =>
      Float64Array.from({ length: dimension }, () => scale * gaussian(random));
    const signed = Array.from({ length: 400 }, () => {
      const centre = vector(1);
      return Array.from({ length: 3 }, () => unit(vector(0.4).map((each, i) => each + (centre[i] ?? 0))));
    });
    const source = fitSignatures(signed);
    const drawn = Array.from({ length: 400 }, () => {
      const capture = source.identity(random);
      return [capture(), capture()];
    });
    const [was, is] = [similarities(signed), similarities(drawn)];
    for (const [i, quantile] of was.mated.entries()) expect(is.mated[i]).toBeCloseTo(quantile, 1);
    expect(is.nonMated[0]).toBeCloseTo(was.nonMated[0] ?? 0, 1);
    expect(is.nonMated[1]).toBeCloseTo(was.nonMated[1] ?? 0, 1);
  });
});

describe("palmgate bench search", () => {
  it("prints one JSON object that names both sets of signatures", { timeout: 60_000 }, () => {
    const args = ["--members", "200,400", "--probes", "60", "--fit", "40", "--json"];
    const { stdout, status } = spawnSync(process.execPath, [PALMGATE_JS, "bench", "search", ...args], {
      encoding: "utf8",
    });
    expect(status).toBe(0);
    const report = JSON.parse(stdout);
    expect(report.dataSets.map(({ name }: { name: string }) => name)).toEqual(["drawn", "random"]);
    for (const { results, how } of report.dataSets) {
      expect(how).not.toBe("");
      expect(results.map(({ members }: { members: number }) => members)).toEqual([200, 400]);
      for (const { agreement, cpuMsPerQuery } of results) {
        expect(agreement.all).toEqual({ probes: 60, top1: 1, nearest: expect.closeTo(1, 2) });
        expect(agreement.mated.probes).toBe(30);
        expect(cpuMsPerQuery.hnsw).toBeGreaterThan(0);
        expect(cpuMsPerQuery.codes).toBeGreaterThan(0);
        expect(cpuMsPerQuery.lineMaps).toBeGreaterThan(0);
      }
    }
  });

  it("refuses options that make no sense, with what to do", () => {
    const { stderr, status } = spawnSync(
      process.execPath,
      [PALMGATE_JS, "bench", "search", "--members", "x"],
      {
        encoding: "utf8",
      },
    );
    expect(status).toBe(2);
    expect(stderr).toMatch(/--members.*--help/s);
  });
});
