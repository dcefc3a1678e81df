import { isIP } from "node:net";

/** Where to listen. */
export interface ListenAddress {
  /** A name or an IP address, without brackets. */
  readonly host: string;
  /** 0 means any free one. */
  readonly port: number;
}

/** Reads `host:port`; an IPv6 address stands in brackets. Throws `RangeError` for anything else. */
export function parseListenAddress(address: string): ListenAddress {
  const match = /^(?:\[(?<ip6>[^\]]+)\]|(?<name>[^:[\]]+)):(?<port>\d{1,5})$/.exec(address);
  const host = match?.groups?.["ip6"] ?? match?.groups?.["name"] ?? "";
  const port = Number(match?.groups?.["port"]);
  const bracketed = match?.groups?.["ip6"] !== undefined;
  if (host === "" || !(port <= 65_535) || (bracketed && isIP(host) !== 6)) {
    throw new RangeError(`listen address must be host:port, got "${address}"`);
  }
  return { host, port };
}

/** The other way round. */
export function formatListenAddress({ host, port }: ListenAddress): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether only this machine can reach an address. */
export function isLoopback(host: string): boolean {
  const kind = isIP(host);
  if (kind === 4) return host.startsWith("127.");
  if (kind === 6) return host === "::1" || host.toLowerCase().startsWith("::ffff:127.");
  return host === "localhost";
}

/**
 * Throws unless callers are authenticated or only this machine can reach the address: otherwise everybody on the network
 * could submit, read and cancel everything.
 */
export function assertMayListen(address: string, { authenticated }: { readonly authenticated: boolean }): void {
  const { host } = parseListenAddress(address);
  if (authenticated || isLoopback(host)) return;
  throw new RangeError(
    `refusing to listen on ${address} without authentication: name a file of API keys (TASKWATCH_API_KEYS_FILE), ` +
      `or listen on a loopback address such as 127.0.0.1`,
  );
}
