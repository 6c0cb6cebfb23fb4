// The ledger's view: follows DECISIONS and PAYMENTS into LMDB, tells settlement what is new, answers what a member's
// palm was used for, and forgets by age.
//
// Invariants:
// - each stream goes on where the view stopped; a batch and its sequence are flushed together, and told of after that;
// - read() answers only with everything up to the sequences that were asked for, or says how far it is;
// - nothing of a data folder of another layout is read.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import {
  type EventLog,
  type Follower,
  type LogEvent,
  openView,
  type View,
  type ViewTables,
} from "../records/index.js";
import type { bus } from "../wire/codec.js";
import { UsageError } from "../wire/config.js";
import { LAYOUT } from "../wire/limits.js";
import type { Log } from "../wire/log.js";
import { STREAMS } from "../wire/subjects.js";
import {
  applyDecision,
  applyPassage,
  applyPayment,
  forgetOld,
  type HistoryAges,
  type HistoryPage,
  type ReportedPassage,
  readHistory,
  TABLES,
} from "./rows.js";

const FORGET_INTERVAL_MS = 60_000;
const MAX_FORGOTTEN_AT_ONCE = 1000;
/** A source of the view that is no stream: its "events" are the rounds of forgetting. */
const FORGETTING = "forgetting";

export interface BooksListener {
  onDecision(decision: bus.DecisionEvent): void;
  onPassage(passage: ReportedPassage): void;
  /** @param live the follower had caught up: the event was told when it was written */
  onPayment(payment: bus.PaymentEvent, sequence: number, live: boolean): void;
}

export interface BooksOptions {
  eventLog: Pick<EventLog, "follow" | "last">;
  dataDir: string;
  ages: HistoryAges;
  nowUnixMs(): number;
  log: Log;
  listener: BooksListener;
  /** What the log held at start has been read, of both streams. */
  onCaughtUp(): void;
}

export interface Reached {
  decisions: number;
  payments: number;
}

type Source = keyof Reached;

export type BooksPage = { ok: true; page: HistoryPage; reached: Reached } | { ok: false; reached: Reached };

export class Books {
  readonly #options: BooksOptions;
  readonly #view: View;
  readonly #followers: Record<Source, Follower>;
  readonly #live = new Set<Source>();
  readonly #waiting = new Set<() => void>();
  readonly #forgetting: NodeJS.Timeout;
  #forgettingOld: Promise<void> | undefined;
  #closed = false;

  /** @throws UsageError when the folder has another layout */
  constructor(options: BooksOptions) {
    this.#options = options;
    this.#view = openView({ path: checkedFolder(options.dataDir) });
    for (const name of Object.values(TABLES)) this.#view.table(name);
    this.#followers = {
      decisions: this.#follow("decisions", ["decisions.>", "passages.>"], (event, tables, told) => {
        if (event.subject.startsWith("passages.")) {
          const passage = applyPassage(event, tables);
          if (passage !== undefined) told.push(() => options.listener.onPassage(passage));
          return;
        }
        const decision = applyDecision(event, tables);
        if (decision !== undefined) told.push(() => options.listener.onDecision(decision));
      }),
      payments: this.#follow("payments", ["payments.>"], (event, tables, told) => {
        const payment = applyPayment(event, tables);
        const live = this.#live.has("payments");
        if (payment !== undefined) told.push(() => options.listener.onPayment(payment, event.sequence, live));
      }),
    };
    this.#forgetting = setInterval(() => this.#forgetAllOld(), FORGET_INTERVAL_MS);
  }

  reached(): Reached {
    return {
      decisions: this.#view.sequence(STREAMS.decisions),
      payments: this.#view.sequence(STREAMS.payments),
    };
  }

  /** What the log held at start has been read. */
  caughtUp(): boolean {
    return this.#live.size === 2;
  }

  lag(source: Source): number {
    return this.#followers[source].lag();
  }

  *openPayments(): Iterable<Uint8Array> {
    for (const { value } of this.#view.table(TABLES.openPayments).range()) yield value;
  }

  /**
   * A page of one owner's uses, with everything up to `wanted`: 0 is the end of the stream as it is now.
   * Throws LogUnavailableError when that end is not known.
   */
  async read(
    owner: { organisation: string; booksRef: Uint8Array },
    page: { limit: number; before: string },
    wanted: Reached,
    waitMs: number,
  ): Promise<BooksPage> {
    if (!(await this.#reaches(await this.#endOf(wanted), waitMs)))
      return { ok: false, reached: this.reached() };
    const now = { ages: this.#options.ages, nowUnixMs: this.#options.nowUnixMs() };
    const table = this.#view.table(TABLES.history);
    return { ok: true, page: readHistory(table, owner, page, now), reached: this.reached() };
  }

  /** One round; the next one is made by itself. @returns how many uses were forgotten */
  async forgetOld(): Promise<number> {
    let forgotten = 0;
    const { ages, log } = this.#options;
    const nowUnixMs = this.#options.nowUnixMs();
    const round = {
      subject: "",
      sequence: this.#view.sequence(FORGETTING) + 1,
      atUnixMs: 0,
      body: new Uint8Array(),
    };
    const applied = await this.#view.apply(FORGETTING, [round], (_, tables) => {
      forgotten = forgetOld(tables, ages, nowUnixMs, MAX_FORGOTTEN_AT_ONCE);
    });
    if (!applied.ok) log.error({ detail: applied.detail }, "uses that are too old cannot be forgotten");
    return forgotten;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#forgetting);
    await this.#forgettingOld;
    await Promise.all(Object.values(this.#followers).map((follower) => follower.stop()));
    for (const wake of this.#waiting) wake();
    await this.#view.close();
  }

  /** Round by round, others in between. */
  #forgetAllOld(): void {
    this.#forgettingOld ??= (async () => {
      while (!this.#closed && (await this.forgetOld()) >= MAX_FORGOTTEN_AT_ONCE) await setImmediate();
    })()
      .catch((error: unknown) => this.#options.log.error({ error: String(error) }, "forgetting failed"))
      .finally(() => {
        this.#forgettingOld = undefined;
      });
  }

  #follow(
    source: Source,
    filters: string[],
    applyOne: (event: LogEvent, tables: ViewTables, told: (() => void)[]) => void,
  ): Follower {
    const { eventLog, log } = this.#options;
    const stream = STREAMS[source];
    return eventLog.follow({
      stream,
      filters,
      afterSequence: this.#view.sequence(stream),
      log,
      onCaughtUp: () => {
        this.#live.add(source);
        if (this.caughtUp()) this.#options.onCaughtUp();
      },
      onBatch: async (events) => {
        const told: (() => void)[] = [];
        const applied = await this.#view.apply(stream, events, (event, tables) =>
          applyOne(event, tables, told),
        );
        // The follower brings the same events again, later.
        if (!applied.ok) throw new Error(`the ledger's view is full: ${applied.detail}`);
        for (const tell of told) tell();
        for (const wake of this.#waiting) wake();
      },
    });
  }

  async #endOf(wanted: Reached): Promise<Reached> {
    // The last event that is there: one that has left the log by its age cannot be read any more.
    const end = async (source: Source) => {
      const last = await this.#options.eventLog.last(STREAMS[source], ">");
      const sequence = last?.sequence ?? 0;
      return wanted[source] > 0 ? Math.min(wanted[source], sequence) : sequence;
    };
    const [decisions, payments] = await Promise.all([end("decisions"), end("payments")]);
    return { decisions, payments };
  }

  async #reaches(end: Reached, waitMs: number): Promise<boolean> {
    const isThere = () => {
      const { decisions, payments } = this.reached();
      return decisions >= end.decisions && payments >= end.payments;
    };
    if (isThere()) return true;
    return new Promise((resolve) => {
      const finish = () => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve(isThere());
      };
      const wake = () => {
        if (isThere()) finish();
      };
      const timer = setTimeout(finish, waitMs);
      this.#waiting.add(wake);
    });
  }
}

/** Makes the folder, or checks what it is. */
function checkedFolder(dataDir: string): string {
  const path = join(dataDir, "books");
  const layoutFile = join(dataDir, "layout");
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  if (!existsSync(layoutFile)) {
    // Hidden ones are those of wire/data-folder.ts.
    if (readdirSync(dataDir).some((name) => !name.startsWith("."))) {
      throw new UsageError(
        `${dataDir} is not empty and holds no ledger's data of layout ${LAYOUT}: name another folder.`,
      );
    }
    writeFileSync(layoutFile, `${LAYOUT}\n`, { mode: 0o600 });
  }
  const found = readFileSync(layoutFile, "utf8").trim();
  if (found === String(LAYOUT)) return path;
  throw new UsageError(
    `${dataDir} has layout ${found}, and this Palmgate reads layout ${LAYOUT}: remove it, the log has everything.`,
  );
}
