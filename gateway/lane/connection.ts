// One connection of the edge link and what is answered to every message in each of its states.
//
//   state    | Hello                        | Frame, GateReport, Heartbeat | anything else
//   greeting | Welcome -> welcomed, or      | HELLO_EXPECTED*              | MALFORMED*
//            | VERSION_UNSUPPORTED*, UNAUTHENTICATED*                      |
//   welcomed | UNAUTHENTICATED*: a nonce is | lane.ts                      | MALFORMED*
//            | good for one Hello           |                              |
//   closed   | nothing: the socket is gone                                          (* = the link is closed after it)
//
// Invariants: only a Hello that verifies leads to `welcomed`; whoever does not greet in time is cut off; message bytes
// are dead once message() returns, so nothing may keep a view on them.
import { randomBytes } from "node:crypto";
import { decode, edge } from "../../wire/codec.js";
import type { Device } from "../../wire/directory.js";
import {
  CHALLENGE_BYTES,
  HEARTBEAT_INTERVAL_MS,
  HELLO_TIMEOUT_MS,
  MAX_EDGE_MESSAGE_BYTES,
  MAX_FRAMES_PER_PRESENTATION,
  MAX_IMAGE_SIDE_PX,
  MONEY_DEADLINE_MS,
  PRESENTATION_DEADLINE_MS,
  PROTOCOL_VERSIONS,
} from "../../wire/limits.js";
import { checkHello } from "./hello.js";
import type { Lane } from "./lane.js";
import { laneUnixMs } from "./lane-time.js";
import type { Link } from "./link.js";

const MAX_AGENT_VERSION_CHARS = 64;

/** Where a connection of a device that proved itself leads. */
export interface Entrance {
  /** As the directory knows it now. */
  deviceOf(deviceId: string): Device | undefined;
  /** Makes the lane of a device that has proved itself. */
  enter(device: Device, link: Link, agentVersion: string): Lane;
  leave(lane: Lane): void;
  /** Engine behind the socket, for Welcome. */
  transport: string;
}

type State =
  | { kind: "greeting"; nonce: Uint8Array; timer: NodeJS.Timeout }
  | { kind: "welcomed"; lane: Lane }
  | { kind: "closed" };

export class Connection {
  #state: State;
  readonly #link: Link;
  readonly #entrance: Entrance;

  /** Sends the Challenge. */
  constructor(link: Link, entrance: Entrance) {
    this.#link = link;
    this.#entrance = entrance;
    const nonce = randomBytes(CHALLENGE_BYTES);
    const timer = setTimeout(() => link.refuse("HELLO_TIMEOUT"), HELLO_TIMEOUT_MS);
    this.#state = { kind: "greeting", nonce, timer };
    link.send({ challenge: { nonce, protocolVersions: [...PROTOCOL_VERSIONS] } });
  }

  /** Nobody knows yet who this is. */
  get greeting(): boolean {
    return this.#state.kind === "greeting";
  }

  /** @param bytes valid during this call only */
  message(bytes: ArrayBuffer, isBinary: boolean): void {
    const fromMs = performance.now();
    const message = isBinary ? decode(edge.ClientMessage, new Uint8Array(bytes)) : undefined;
    const body = message?.hello ?? message?.frame ?? message?.gateReport ?? message?.heartbeat;
    if (this.#state.kind === "closed") return;
    if (body === undefined || body === null) {
      this.#link.refuse("MALFORMED");
      return;
    }
    if (this.#state.kind === "greeting") {
      this.#greet(body, this.#state);
      return;
    }
    const { lane } = this.#state;
    if (body instanceof edge.Frame) lane.frame(body, fromMs);
    else if (body instanceof edge.GateReport) lane.gateReport(body);
    else if (body instanceof edge.Heartbeat) lane.heartbeat(body);
    else this.#link.refuse("UNAUTHENTICATED");
  }

  /** The socket is gone. */
  closed(): void {
    this.#link.closed();
    if (this.#state.kind === "greeting") clearTimeout(this.#state.timer);
    if (this.#state.kind === "welcomed") {
      this.#entrance.leave(this.#state.lane);
      this.#state.lane.closed();
    }
    this.#state = { kind: "closed" };
  }

  #greet(hello: unknown, { nonce, timer }: State & { kind: "greeting" }): void {
    clearTimeout(timer);
    if (!(hello instanceof edge.Hello)) {
      this.#link.refuse("HELLO_EXPECTED");
      return;
    }
    const checked = checkHello(hello, nonce, (deviceId) => this.#entrance.deviceOf(deviceId));
    if (!checked.ok) {
      const versions = checked.code === "VERSION_UNSUPPORTED" ? [...PROTOCOL_VERSIONS] : [];
      this.#link.refuse(checked.code, { protocolVersions: versions });
      return;
    }
    const { device, protocolVersion } = checked;
    const lane = this.#entrance.enter(
      device,
      this.#link,
      hello.agentVersion.slice(0, MAX_AGENT_VERSION_CHARS),
    );
    this.#state = { kind: "welcomed", lane };
    this.#link.send({
      welcome: {
        protocolVersion,
        site: device.site,
        purpose: edge.Purpose[device.purpose],
        gallery: device.gallery,
        creditLimit: lane.creditLimit,
        maxMessageBytes: MAX_EDGE_MESSAGE_BYTES,
        maxFramesPerPresentation: MAX_FRAMES_PER_PRESENTATION,
        maxImageSidePx: MAX_IMAGE_SIDE_PX,
        heartbeatIntervalMs: HEARTBEAT_INTERVAL_MS,
        presentationDeadlineMs: PRESENTATION_DEADLINE_MS,
        serverTimeUnixMs: laneUnixMs(),
        transport: this.#entrance.transport,
        organisation: device.organisation,
        ...(device.purpose === "PAY" ? { moneyDeadlineMs: MONEY_DEADLINE_MS } : {}),
      },
    });
  }
}
