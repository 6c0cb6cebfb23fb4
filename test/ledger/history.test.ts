// Members' uses, asked of ledgers as the desk asks: on a real nats-server, out of views on a real disk.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Books, type BooksOptions } from "../../ledger/books.js";
import { bus } from "../../wire/codec.js";
import { UsageError } from "../../wire/config.js";
import { toHex } from "../../wire/hex.js";
import { askHistory, type HistoryQuestion } from "../../wire/history.js";
import { authorised, type Order, order, reported, writeStep } from "./support/payments.js";
import {
  log,
  ORGANISATION,
  OTHER_ORGANISATION,
  openRig,
  type Rig,
  type TestLedger,
  until,
} from "./support/rig.js";

const DAY_MS = 24 * 60 * 60 * 1000;

describe("history", () => {
  let rig: Rig;
  let ledgers: TestLedger[] = [];
  let books: Books[] = [];
  beforeAll(async () => {
    rig = await openRig();
  });
  afterEach(async () => {
    for (const each of [...ledgers, ...books]) await each.close();
    ledgers = [];
    books = [];
  });
  afterAll(() => rig.close());

  const ledger = async (dataDir?: string) => {
    const opened = await rig.openLedger(dataDir === undefined ? {} : { dataDir });
    ledgers.push(opened);
    return opened;
  };
  const openBooks = (changed: Partial<BooksOptions> = {}) => {
    const opened = new Books({
      ...{ eventLog: rig.eventLog, dataDir: rig.folder(), log },
      ages: { decisionsMs: 90 * DAY_MS, paymentsMs: 400 * DAY_MS },
      nowUnixMs: () => Date.now(),
      onCaughtUp: () => {},
      listener: { onDecision: () => {}, onPassage: () => {}, onPayment: () => {} },
      ...changed,
    });
    books.push(opened);
    return opened;
  };
  const ask = ({ booksRef }: Order, changed: Partial<HistoryQuestion> = {}) =>
    askHistory(rig.nc, { organisation: ORGANISATION, booksRef, limit: 10, ...changed });
  const kindOf = ({ decision, passage, payment }: bus.HistoryEntry) =>
    decision ? "decision" : passage ? "passage" : `payment ${bus.PaymentStep[payment?.step ?? 0]}`;
  const visit = async () => {
    const of = order();
    await authorised(rig.eventLog, of, { granted: true });
    await reported(rig.eventLog, of, "OPENED");
    return of;
  };

  it("holds everything that is on record when it is asked for, of this member only, whichever ledger answers", async () => {
    await Promise.all([ledger(), ledger()]);
    const [mine] = [await visit(), await visit()];
    for (let times = 0; times < 10; times++) {
      const answer = await ask(mine);
      if (!answer.ok) throw new Error(answer.code);
      const kinds = answer.entries.map(kindOf);
      expect(kinds.slice(-3).sort()).toEqual(["decision", "payment AUTHORISED", "payment REQUESTED"]);
      expect(kinds).toContain("passage");
      expect(answer.before).toBeUndefined();
      const refs = answer.entries.map(({ decision, passage, payment }) =>
        toHex((decision ?? passage ?? payment)?.booksRef ?? new Uint8Array()),
      );
      expect(new Set(refs)).toEqual(new Set([toHex(mine.booksRef)]));
    }
    expect(await ask(mine, { organisation: OTHER_ORGANISATION })).toEqual({ ok: true, entries: [] });
  });

  it("comes page by page, latest first", async () => {
    await ledger();
    const of = await visit();
    const seen: number[] = [];
    let before: string | undefined;
    let pages = 0;
    do {
      const answer = await ask(of, { limit: 2, ...(before === undefined ? {} : { before }) });
      if (!answer.ok) throw new Error(answer.code);
      seen.push(...answer.entries.map(({ atUnixMs }) => atUnixMs));
      before = answer.before;
      pages++;
    } while (before !== undefined);
    expect(seen).toEqual([...seen].sort((a, b) => b - a));
    expect(seen).toHaveLength(4);
    expect(pages).toBe(2);
  });

  it("says that it is behind rather than leave something out, and that it cannot answer when there is no ledger", async () => {
    const of = await visit();
    expect(await ask(of, { waitMs: 100 })).toEqual({ ok: false, code: "UNAVAILABLE" });
    let held: (() => void) | undefined;
    const stuck = openBooks({
      eventLog: {
        last: (...args) => rig.eventLog.last(...args),
        follow: (options) =>
          rig.eventLog.follow({
            ...options,
            onBatch: async (events) => {
              if (held === undefined) await new Promise<void>((resolve) => (held = resolve));
              await options.onBatch(events);
            },
          }),
      },
    });
    const owner = { organisation: ORGANISATION, booksRef: of.booksRef };
    const page = { limit: 10, before: "" };
    const early = await stuck.read(owner, page, { decisions: 0, payments: 0 }, 200);
    expect(early.ok).toBe(false);
    const waiting = stuck.read(owner, page, { decisions: 0, payments: 0 }, 10_000);
    await until("the first batch waits", () => held !== undefined);
    held?.();
    expect(await waiting).toMatchObject({ ok: true });
  });

  it.each([
    ["a books_ref of another length", { booksRef: new Uint8Array(3) }],
    ["no limit", { limit: 0 }],
    ["too high a limit", { limit: 1000 }],
    ["a cursor that is none", { before: "../x" }],
  ])("refuses %s", async (_, changed) => {
    await ledger();
    expect(await ask(order(), changed)).toEqual({ ok: false, code: "INVALID" });
  });

  it("goes on after a restart where its view stopped, and does not need it", async () => {
    const first = await ledger();
    const of = await visit();
    expect(await ask(of)).toMatchObject({ ok: true });
    await first.close();
    ledgers = [];
    await ledger(first.dataDir);
    const kept = await ask(of);
    for (const each of ledgers) await each.close();
    ledgers = [];
    await ledger();
    const anew = await ask(of);
    if (!kept.ok || !anew.ok) throw new Error("no answer");
    expect(kept.entries.map(kindOf)).toEqual(anew.entries.map(kindOf));
  });

  it("forgets decisions and passages at their age and payments at theirs, and tells nothing older meanwhile", async () => {
    let nowUnixMs = Date.now();
    const mine = openBooks({ nowUnixMs: () => nowUnixMs });
    const of = await visit();
    const owner = { organisation: ORGANISATION, booksRef: of.booksRef };
    const count = async () => {
      const read = await mine.read(owner, { limit: 50, before: "" }, { decisions: 0, payments: 0 }, 5000);
      if (!read.ok) throw new Error("behind");
      return read.page.entries.length;
    };
    expect(await count()).toBe(4);
    nowUnixMs += 91 * DAY_MS;
    expect(await count()).toBe(2);
    expect(await mine.forgetOld()).toBeGreaterThan(0);
    nowUnixMs -= 91 * DAY_MS;
    // Not hidden: gone.
    expect(await count()).toBe(2);
    nowUnixMs += 401 * DAY_MS;
    await mine.forgetOld();
    nowUnixMs -= 401 * DAY_MS;
    expect(await count()).toBe(0);
  });

  it("refuses a folder of another layout, and one that is not its own", async () => {
    const old = rig.folder();
    mkdirSync(old, { recursive: true });
    writeFileSync(join(old, "layout"), "1\n");
    expect(() => openBooks({ dataDir: old })).toThrow(UsageError);
    expect(() => openBooks({ dataDir: old })).toThrow(/layout 1, and this Palmgate reads layout 2/);
    const foreign = rig.folder();
    mkdirSync(foreign, { recursive: true });
    writeFileSync(join(foreign, "photos.txt"), "");
    expect(() => openBooks({ dataDir: foreign })).toThrow(/is not empty/);
  });

  it("knows a payment as open until it is at its end", async () => {
    const mine = openBooks();
    const of = order();
    const open = () => [...mine.openPayments()].length;
    const reachedAll = () =>
      mine.read({ ...of }, { limit: 1, before: "" }, { decisions: 0, payments: 0 }, 5000);
    await reachedAll();
    const before = open();
    await writeStep(rig.eventLog, of, bus.PaymentStep.REQUESTED);
    await reachedAll();
    expect(open()).toBe(before + 1);
    await writeStep(rig.eventLog, of, bus.PaymentStep.DECLINED);
    await reachedAll();
    expect(open()).toBe(before);
  });
});
