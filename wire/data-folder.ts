// A data folder belongs to one process at a time: two that write the same views destroy them.
//
// Invariants:
// - at most one process holds a folder, also when several start at the same moment;
// - a process that is killed lets go in that moment, for it is the kernel that closes its socket: no lock is ever left
//   behind for an operator to remove;
// - a folder that is made here is its owner's alone.
//
// How: a claimant listens on a socket of its own in the folder, and only then looks for the others' sockets. Whoever
// comes second is therefore sure to meet the first. Of several that are still claiming, the least name goes on. Sockets
// that nobody listens on are those of the dead. (Node has no flock; a socket also tells who is alive across containers
// that share a volume. It does not across machines: there, what is shared over a network file system is found out on
// the bus, see matcher/twin.ts.)
import { randomBytes } from "node:crypto";
import { closeSync, constants, mkdirSync, openSync, readdirSync, renameSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { UsageError } from "./config.js";

/** No gallery can have this name. */
const CLAIMS_FOLDER = ".in-use";
const OWNER_ONLY = 0o700;
const NAME_BYTES = 8;
/** Becomes a claim by being renamed, so that nobody takes a socket for dead that is about to be listened on. */
const UNFINISHED = "new-";
/** A process that accepts and says nothing is stopped or stuck, and alive. */
const ANSWER_DEADLINE_MS = 1000;
/** For the other claimants to give way. */
const CLAIM_DEADLINE_MS = 5000;
const CLAIM_POLL_MS = 20;
const HEARD_OF_ERROR: Record<string, "dead" | "leaving"> = {
  ECONNREFUSED: "dead",
  ENOENT: "dead",
  ECONNRESET: "leaving",
  EPIPE: "leaving",
};

export interface DataFolder {
  /** Lets go of it. */
  release(): Promise<void>;
}

type State = "claiming" | "owned";
/** leaving: its process closed the socket, or died, before it could answer. */
type Heard = State | "dead" | "leaving";

/**
 * Makes the folder where it is not there, and takes it for this process.
 * @throws UsageError when another process has it, or it cannot be used
 */
export async function claimDataFolder(dir: string): Promise<DataFolder> {
  const claims = join(dir, CLAIMS_FOLDER);
  try {
    mkdirSync(claims, { recursive: true, mode: OWNER_ONLY });
  } catch (error) {
    throw new UsageError(`--data-dir: ${dir} cannot be made or used: ${(error as Error).message}.`);
  }
  const place = shortPath(claims);
  const claim = new Claim(claims, place.path);
  try {
    await claim.announce();
    await claim.outlast();
  } catch (error) {
    await claim.withdraw();
    place.close();
    if (error instanceof UsageError) throw error;
    throw new UsageError(`--data-dir: ${dir} cannot be locked: ${(error as Error).message}.`);
  }
  return {
    release: async () => {
      await claim.withdraw();
      place.close();
    },
  };
}

class Claim {
  readonly #claims: string;
  readonly #path: string;
  readonly #name = randomBytes(NAME_BYTES).toString("hex");
  readonly #server: Server;
  #state: State = "claiming";

  /** @param path of `claims`, short enough for a socket's address */
  constructor(claims: string, path: string) {
    this.#claims = claims;
    this.#path = path;
    this.#server = createServer((socket) => {
      socket.on("error", () => {}); // whoever asked has gone
      socket.end(this.#state);
    });
    this.#server.unref();
  }

  async announce(): Promise<void> {
    const unfinished = `${UNFINISHED}${this.#name}`;
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(`${this.#path}/${unfinished}`, resolve);
    });
    renameSync(join(this.#claims, unfinished), join(this.#claims, this.#name));
  }

  /** Resolves when nobody else is left. @throws UsageError when somebody is */
  async outlast(): Promise<void> {
    const deadlineAtMs = performance.now() + CLAIM_DEADLINE_MS;
    for (const other of readdirSync(this.#claims)) {
      if (other === this.#name || other.startsWith(UNFINISHED)) continue;
      const givesWay = (heard: Heard) => heard === "leaving" || (heard === "claiming" && other > this.#name);
      let heard = await this.#hear(other);
      while (givesWay(heard) && performance.now() < deadlineAtMs) {
        await new Promise((resolve) => setTimeout(resolve, CLAIM_POLL_MS));
        heard = await this.#hear(other);
      }
      if (heard !== "dead") throw inUse(this.#claims);
      rmSync(join(this.#claims, other), { force: true });
    }
    this.#state = "owned";
  }

  async withdraw(): Promise<void> {
    rmSync(join(this.#claims, this.#name), { force: true });
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #hear(name: string): Promise<Heard> {
    return new Promise((resolve, reject) => {
      let text = "";
      const socket = connect(`${this.#path}/${name}`);
      socket.setTimeout(ANSWER_DEADLINE_MS, () => {
        socket.destroy();
        resolve("owned");
      });
      socket.on("data", (chunk) => {
        text += chunk.toString();
      });
      socket.on("end", () => resolve(text === "claiming" || text === "owned" ? text : "leaving"));
      socket.on("error", (error: NodeJS.ErrnoException) => {
        const heard = HEARD_OF_ERROR[error.code ?? ""];
        if (heard === undefined) reject(error);
        else resolve(heard);
      });
    });
  }
}

const inUse = (claims: string) =>
  new UsageError(
    `--data-dir: ${join(claims, "..")} is in use by another process. Give each process a folder of its own, or end the other one.`,
  );

/** A socket's address has some 100 bytes: by its open descriptor, a folder has a short path, where the system has /proc. */
function shortPath(folder: string): { path: string; close(): void } {
  if (process.platform !== "linux") return { path: folder, close: () => {} };
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  return { path: `/proc/self/fd/${fd}`, close: () => closeSync(fd) };
}
