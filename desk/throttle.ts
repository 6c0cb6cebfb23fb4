// Bounds how often something may be tried wrongly, for each address by itself: whoever guesses is turned away, and
// nobody else is. Desks tell each other, so that asking another one gives no further tries.
//
// Invariants (test/desk/throttle.test.ts):
// - after `maxWrong` wrong tries within a window an address is turned away until the window is over, right ones too;
// - a try that is under way counts as wrong until it is known, so that many at once try no more than one after another;
// - right tries count for nothing; one address never uses up another one's tries;
// - at most MAX_ADDRESSES are remembered, those that tried last.
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { isIPv6 } from "node:net";
import type { NatsConnection } from "@nats-io/transport-node";
import { TRIES_SUBJECT } from "../wire/subjects.js";

const MAX_ADDRESSES = 10_000;
/** A home or a company has this much of an IPv6 address to itself. */
const IPV6_NETWORK_GROUPS = 4;
const MAC_BYTES = 16;

interface Tries {
  windowEndsAtMs: number;
  wrong: number;
  underWay: number;
}

export interface ThrottleOptions {
  maxWrong: number;
  windowMs: number;
  /** A clock that only grows; default performance.now. */
  nowMs?: () => number;
  /** Called for every wrong try here. */
  onWrong?: (address: string) => void;
}

export class Throttle {
  readonly #options: ThrottleOptions;
  readonly #nowMs: () => number;
  /** In the order of their last try. */
  readonly #addresses = new Map<string, Tries>();

  constructor(options: ThrottleOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? (() => performance.now());
  }

  /** Whether the address may try; if so, `leave` must follow. */
  enter(address: string): boolean {
    const tries = this.#of(address);
    if (this.#wrongNow(tries) + tries.underWay >= this.#options.maxWrong) return false;
    tries.underWay += 1;
    return true;
  }

  leave(address: string, isWrong: boolean): void {
    const tries = this.#of(address);
    tries.underWay = Math.max(0, tries.underWay - 1);
    if (!isWrong) return;
    this.count(address);
    this.#options.onWrong?.(address);
  }

  /** A wrong try that was made at another desk. */
  count(address: string): void {
    const tries = this.#of(address);
    tries.wrong = this.#wrongNow(tries) + 1;
    if (tries.wrong === 1) tries.windowEndsAtMs = this.#nowMs() + this.#options.windowMs;
  }

  #wrongNow({ windowEndsAtMs, wrong }: Tries): number {
    return this.#nowMs() >= windowEndsAtMs ? 0 : wrong;
  }

  #of(address: string): Tries {
    const tries = this.#addresses.get(address) ?? { windowEndsAtMs: 0, wrong: 0, underWay: 0 };
    this.#addresses.delete(address);
    this.#addresses.set(address, tries);
    if (this.#addresses.size > MAX_ADDRESSES) {
      for (const [oldest, { underWay }] of this.#addresses) {
        if (underWay > 0) continue;
        this.#addresses.delete(oldest);
        break;
      }
    }
    return tries;
  }
}

/** What stands for a client: an IPv4 address, or the network of an IPv6 one. */
export function addressKey(ip: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)?.[1];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(ip)) return ip;
  const [head = "", tail] = ip.toLowerCase().split("%", 1).join("").split("::", 2);
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros =
    tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => "0");
  return [...left, ...zeros, ...right].slice(0, IPV6_NETWORK_GROUPS).join(":");
}

export interface SharedThrottles {
  /** @param name the same at every desk */
  open(name: string, options: Omit<ThrottleOptions, "onWrong">): Throttle;
  close(): void;
}

/** Throttles that count what other desks count. @param key of the fleet: what is not signed with it is not heard */
export function shareThrottles(nats: NatsConnection, key: Uint8Array): SharedThrottles {
  const throttles = new Map<string, Throttle>();
  const id = randomUUID();
  const macOf = (text: string) => createHmac("sha256", key).update(text).digest().subarray(0, MAC_BYTES);
  let told = 0;
  const subscription = nats.subscribe(TRIES_SUBJECT, {
    callback: (error, message) => {
      if (error) return; // the connection itself reports it (wire/nats.ts)
      const text = Buffer.from(message.data.subarray(MAC_BYTES)).toString("utf8");
      const mac = message.data.subarray(0, MAC_BYTES);
      if (mac.length !== MAC_BYTES || !timingSafeEqual(mac, macOf(text))) return;
      const [from = "", , name = "", address = ""] = text.split("\n");
      if (from !== id) throttles.get(name)?.count(address);
    },
  });
  return {
    open: (name, options) => {
      const onWrong = (address: string) => {
        const text = [id, told++, name, address].join("\n");
        nats.publish(TRIES_SUBJECT, Buffer.concat([macOf(text), Buffer.from(text)]));
      };
      const throttle = new Throttle({ ...options, onWrong });
      throttles.set(name, throttle);
      return throttle;
    },
    close: () => subscription.unsubscribe(),
  };
}
