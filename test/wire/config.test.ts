import { describe, expect, it } from "vitest";
import { z } from "zod";
import { helpText, readSettings } from "../../wire/config.js";

const SETTINGS = {
  port: { option: "port", help: "where to listen", schema: z.coerce.number().int().default(8080) },
  brand: { option: "brand", help: "of the card", schema: z.string().default("") },
  sizes: { option: "sizes", help: "of galleries", schema: z.array(z.number()).default([10, 20]) },
  hosts: { option: "host", list: true, help: "names", schema: z.array(z.string()).min(1).default(["a"]) },
  json: { option: "json", flag: true, help: "JSON", schema: z.boolean().default(false) },
};

describe("settings", () => {
  it("come from the option, then the environment, then the default", () => {
    const env = { PALMGATE_PORT: "2" };
    expect(readSettings(SETTINGS, ["--port", "1"], env).port).toBe(1);
    expect(readSettings(SETTINGS, [], env).port).toBe(2);
    expect(readSettings(SETTINGS, [], {}).port).toBe(8080);
  });

  it("take an environment variable that is set to nothing as not set", () => {
    const env = { PALMGATE_PORT: "", PALMGATE_JSON: "" };
    expect(readSettings(SETTINGS, [], env)).toMatchObject({ port: 8080, json: false });
  });

  it("take a list by commas, by giving the option again, and from the environment", () => {
    const hosts = (argv: string[], env = {}) => readSettings(SETTINGS, argv, env).hosts;
    expect(hosts(["--host", "b, c,", "--host", "d"])).toEqual(["b", "c", "d"]);
    expect(hosts([], { PALMGATE_HOST: "b,c" })).toEqual(["b", "c"]);
    expect(hosts([])).toEqual(["a"]);
    expect(() => hosts(["--host", " , "])).toThrow("--host");
  });

  it("show a default in --help only where there is one", () => {
    const lines = helpText("x", "y", SETTINGS).split("\n");
    const lineOf = (option: string) => lines.find((line) => line.includes(`--${option}`));
    expect(lineOf("port")).toContain("where to listen (default 8080) [PALMGATE_PORT]");
    expect(lineOf("sizes")).toContain("(default 10,20)");
    expect(lineOf("brand")).toContain("of the card [PALMGATE_BRAND]");
    expect(lineOf("json")).toContain("JSON [PALMGATE_JSON]");
  });
});
