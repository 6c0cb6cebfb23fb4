import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../wire/config.js";
import { parseNatsAddress } from "../../wire/nats-address.js";

describe("the address of a nats-server", () => {
  it.each([
    ["nats://127.0.0.1:4222", { servers: ["127.0.0.1:4222"], tls: false }],
    ["127.0.0.1", { servers: ["127.0.0.1:4222"], tls: false }],
    ["nats://bus.example.org/", { servers: ["bus.example.org:4222"], tls: false }],
    ["tls://bus.example.org:4443", { servers: ["bus.example.org:4443"], tls: true }],
    ["nats://[::1]:4222", { servers: ["[::1]:4222"], tls: false }],
    ["nats://u:p@h", { servers: ["h:4222"], tls: false, user: "u", password: "p" }],
    ["nats://u:@h", { servers: ["h:4222"], tls: false, user: "u", password: "" }],
    ["nats://s3cret@h", { servers: ["h:4222"], tls: false, token: "s3cret" }],
    ["nats://u:p@a:1,b:2", { servers: ["a:1", "b:2"], tls: false, user: "u", password: "p" }],
    ["nats://u:p@a:1, nats://u:p@b:2", { servers: ["a:1", "b:2"], tls: false, user: "u", password: "p" }],
    ["nats://u:p@a:1,nats://b:2", { servers: ["a:1", "b:2"], tls: false, user: "u", password: "p" }],
  ])("is read as people write it: %s", (text, address) => {
    expect(parseNatsAddress(text)).toEqual(address);
  });

  it.each(["a/b", "a#b", "a%b", "100%", "a;b", "a@b", "a:b:c", "a?b", "a b", "ä", "a,b", "%zz@/#"])(
    "takes a password as it is: %s",
    (password) => {
      expect(parseNatsAddress(`nats://u:${password}@h:1`)).toMatchObject({
        user: "u",
        password,
        servers: ["h:1"],
      });
    },
  );

  it("takes any password that is escaped as a URL wants it", () => {
    fc.assert(
      fc.property(fc.string(), fc.string({ minLength: 1 }), (password, user) => {
        fc.pre(isWellFormed(password) && isWellFormed(user));
        const text = `nats://${encodeURIComponent(user)}:${encodeURIComponent(password)}@h:1`;
        expect(parseNatsAddress(text)).toMatchObject({ user, password, servers: ["h:1"] });
      }),
    );
  });
  const isWellFormed = (text: string) => {
    try {
      return encodeURIComponent(text) !== "";
    } catch {
      return false; // half of a surrogate pair
    }
  };

  it("tells what is wrong without telling the password, whatever is written", () => {
    const secret = "Xq9secret";
    for (const text of [
      "",
      "http://h:1",
      `ws://u:${secret}@h:1`,
      `nats://u:${secret}@`,
      `nats://u:${secret}@h:99999`,
      `nats://u:${secret}@h:1/path`,
      `nats://u:${secret}@h h`,
      `nats://u:${secret}@a:1,tls://u:${secret}@b:2`,
      `nats://u:${secret}@a:1,nats://u:other@b:2`,
    ]) {
      const parse = () => parseNatsAddress(text);
      expect(parse).toThrow(UsageError);
      expect(parse).not.toThrow(secret);
    }
    fc.assert(
      fc.property(fc.string({ maxLength: 30 }), (noise) => {
        try {
          parseNatsAddress(`nats://u:${secret}@${noise}`);
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
          if (!noise.includes("@")) expect(String(error)).not.toContain(secret);
        }
      }),
    );
  });
});
