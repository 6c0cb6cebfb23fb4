// What an operator does with a member on the command line, on real processes: enrol, erase, verify-receipt.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { syntheticPerson } from "../../cli/demo/people.js";
import { PALMGATE_JS } from "../../cli/stack/child.js";
import { GALLERY } from "../../cli/stack/stack.js";
import { type HandShell, openShells, renderHand, synthesiseIdentity } from "../../palm/index.js";
import { openSite, type Site } from "./support.js";

const PALM = 7;
const HAND = 8;
const CARD = ["--instrument", "tok_approve", "--brand", "visa", "--last4", "4242"];

let site: Site;
let dir: string;
let files: string[];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "palmgate-cli-"));
  site = await openSite();
  const images = await syntheticPerson(PALM).enrolment(0);
  files = await Promise.all(
    images.map(async ({ width, height, pixels }, index) => {
      const file = join(dir, `${index}.png`);
      await sharp(pixels, { raw: { width, height, channels: 1 } })
        .png()
        .toFile(file);
      return file;
    }),
  );
});
afterAll(async () => {
  await site?.close();
  rmSync(dir, { recursive: true, force: true });
});

async function writeHand(shell: HandShell, name: string): Promise<string> {
  const { image } = renderHand(synthesiseIdentity(HAND), shell, { seed: 1 });
  const { width, height, channels } = image;
  const file = join(dir, name);
  await sharp(image.pixels, { raw: { width, height, channels } }).png().toFile(file);
  return file;
}

async function palmgate(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [PALMGATE_JS, ...args], {
    env: {
      ...process.env,
      PALMGATE_OPERATOR_TOKEN: site.stack.operatorToken,
      PALMGATE_DESK: site.stack.deskUrl,
    },
  });
  const out = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk) => {
    out.stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    out.stderr += chunk;
  });
  const [code] = (await once(child, "close")) as [number];
  return { code, ...out };
}

const enroll = (...args: string[]) =>
  palmgate("enrol", "--gallery", GALLERY, "--consent", "entry,pay", "--position", "right", ...args);

describe("a member on the command line", () => {
  it("is enrolled from image files, erased with a receipt, and the receipt is checked", async () => {
    const enrolled = await enroll(...CARD, ...files);
    expect(enrolled).toMatchObject({ code: 0, stderr: "" });
    const { memberId, templates } = JSON.parse(enrolled.stdout) as { memberId: string; templates: number };
    expect(templates).toBe(files.length);

    const again = await enroll(...CARD, ...files);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain("DUPLICATE_MEMBER");

    const receipt = join(dir, "receipt.json");
    expect(await palmgate("erase", "--member", memberId, "--receipt", receipt)).toMatchObject({ code: 0 });
    const key = await site.api.get<{ publicKey: string }>("/api/v1/receipt-key");
    if (!key.ok) throw new Error(key.code);
    const keyFile = join(dir, "key.txt");
    writeFileSync(keyFile, `${key.body.publicKey}\n`);
    for (const trusted of [key.body.publicKey, keyFile]) {
      const valid = await palmgate("verify-receipt", "--key", trusted, receipt);
      expect(valid.code).toBe(0);
      expect(valid.stdout).toContain(memberId);
    }

    writeFileSync(receipt, readFileSync(receipt, "utf8").replace(GALLERY, "another"));
    const forged = await palmgate("verify-receipt", "--key", keyFile, receipt);
    expect(forged.code).toBe(1);
    expect(forged.stderr).toContain("BAD_SIGNATURE");
    const stranger = Buffer.alloc(32, 1).toString("base64");
    expect((await palmgate("verify-receipt", "--key", stranger, receipt)).stderr).toContain("UNKNOWN_KEY");
  });

  it("is enrolled from images of a whole hand, and not from one of a fist", {
    timeout: 180_000,
  }, async () => {
    const shells = await openShells(({ look, side }) => look === "VISIBLE" && side === "RIGHT");
    const pictures = async (kind: HandShell["kind"], count: number) => {
      const chosen = shells.filter((shell) => shell.kind === kind).slice(0, count);
      expect(chosen).toHaveLength(count);
      return Promise.all(chosen.map((shell, index) => writeHand(shell, `${kind}-${index}.png`)));
    };
    const enrolled = await enroll("--hands", ...CARD, ...(await pictures("PALM", 3)));
    expect(enrolled).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(enrolled.stdout)).toMatchObject({ templates: 3 });

    const refused = await enroll("--hands", ...CARD, ...(await pictures("FIST", 1)));
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain("HAND_CLOSED");
  });

  it("never sends or prints what looks like a card number", async () => {
    for (const given of [
      ["--instrument", "4242 4242 4242 4242", "--brand", "visa", "--last4", "4242"],
      ["--instrument", "tok_approve", "--brand", "4242424242424242", "--last4", "4242"],
    ]) {
      const refused = await enroll(...given, ...files);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain("CARD_NUMBER_REFUSED");
      expect(refused.stdout + refused.stderr).not.toContain("4242");
    }
  });

  it("says what is wrong with a command line, and where help is", async () => {
    for (const wrong of [
      ["enrol", "--gallery", GALLERY, "--consent", "entry"],
      ["enrol", "--gallery", GALLERY, "--consent", "fly", ...files],
      ["enrol", "--gallery", GALLERY, "--consent", "entry", join(dir, "no-such.png")],
      ["erase", "--member", "7"],
      ["verify-receipt", "--key", "x", join(dir, "0.png")],
      ["verify-receipt"],
    ]) {
      const answer = await palmgate(...wrong);
      expect(answer.code).toBe(2);
      expect(answer.stderr).toMatch(/^palmgate (enrol|erase|verify-receipt): /);
    }
    for (const command of ["enrol", "erase", "verify-receipt"]) {
      const help = await palmgate(command, "--help");
      expect(help.code).toBe(0);
      expect(help.stdout).toContain(`Usage: palmgate ${command}`);
    }
  });
});
