// Addresses of nats-servers as people write them: nats://user:password@host:4222, several separated by commas.
//
// Not URLs: a password may hold any character, also / # % ; : and @. What stands before the last @ is user and password.
// Percent escapes in them are undone where they are well-formed; a % that is none stands for itself.
//
// Invariants:
// - tls:// asks for TLS, and of several addresses all must ask for it or none;
// - no message about an address holds what stands before its last @.
import { UsageError } from "./config.js";

export interface NatsAddress {
  /** host:port, each */
  servers: string[];
  tls: boolean;
  user?: string;
  password?: string;
  /** A name before the @ without a colon. */
  token?: string;
}

const DEFAULT_PORT = 4222;
const SCHEME = /^(nats|tls):\/\//;
/** A comma that another address with a scheme follows. */
const BETWEEN_ADDRESSES = /,\s*(?=[a-z]+:\/\/)/;
const HOST = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/;
const ADVICE = "Write nats://user:password@host:4222, or tls:// for TLS; several separated by commas.";

interface Part {
  servers: string[];
  tls: boolean;
  credentials: string | undefined;
}

/** @throws UsageError that says what is wrong without telling a password */
export function parseNatsAddress(text: string): NatsAddress {
  const parts = text.trim().split(BETWEEN_ADDRESSES).map(parsePart);
  const [first] = parts;
  if (first === undefined) throw new UsageError(`The NATS address is empty. ${ADVICE}`);
  if (parts.some(({ tls }) => tls !== first.tls)) {
    throw new UsageError(
      "The NATS addresses must all be tls:// or all be nats://: a mix would be plain at times.",
    );
  }
  const credentials = parts.flatMap((part) => part.credentials ?? []);
  if (credentials.some((each) => each !== credentials[0])) {
    throw new UsageError("The NATS addresses must all have the same user and password.");
  }
  return {
    servers: parts.flatMap(({ servers }) => servers),
    tls: first.tls,
    ...credentialsOf(credentials[0]),
  };
}

function parsePart(text: string): Part {
  const scheme = SCHEME.exec(text)?.[1];
  if (scheme === undefined && /^[a-z0-9+.-]*:\/\//i.test(text)) {
    throw new UsageError(`The NATS address must begin with nats:// or tls://. ${ADVICE}`);
  }
  const rest = text.replace(SCHEME, "");
  const at = rest.lastIndexOf("@");
  const servers = rest
    .slice(at + 1)
    .replace(/\/$/, "")
    .split(",")
    .map((host) => serverOf(host.trim()));
  return { servers, tls: scheme === "tls", credentials: at < 0 ? undefined : rest.slice(0, at) };
}

function serverOf(host: string): string {
  const [, name, port = String(DEFAULT_PORT)] = HOST.exec(host) ?? [];
  if (name !== undefined && Number(port) >= 1 && Number(port) <= 65_535) return `${name}:${port}`;
  throw new UsageError(`The NATS address has no host and port after its last @. ${ADVICE}`);
}

function credentialsOf(text: string | undefined): Pick<NatsAddress, "user" | "password" | "token"> {
  if (text === undefined || text === "") return {};
  const colon = text.indexOf(":");
  if (colon < 0) return { token: unescaped(text) };
  return { user: unescaped(text.slice(0, colon)), password: unescaped(text.slice(colon + 1)) };
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a % that escapes nothing: the password holds it
  }
}
