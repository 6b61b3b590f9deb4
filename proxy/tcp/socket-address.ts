import { isIP } from 'node:net';

/** `ip:port` with brackets around IPv6, as logs, metrics and `originalDestination` spell it. */
export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

export interface HostPort {
  /** IP literal without brackets, or a name. */
  readonly host: string;
  readonly port: number;
}

/** Reads `ip:port`, `[v6]:port` or `name:port`, the name into lower case; null where it is none or the port is not 1 to 65535. */
export function parseAddress(text: string): HostPort | null {
  const colon = text.lastIndexOf(':');
  if (colon <= 0 || text.length - colon > 6) return null;
  const digits = text.slice(colon + 1);
  if (!/^[0-9]{1,5}$/.test(digits)) return null;
  const port = Number(digits);
  if (port < 1 || port > 65535) return null;
  let host = text.slice(0, colon);
  if (host.startsWith('[')) {
    if (!host.endsWith(']')) return null;
    host = host.slice(1, -1);
    return isIP(host) === 6 ? { host, port } : null;
  }
  if (host.includes(':') || host.length > 253) return null;
  return { host: host.toLowerCase(), port };
}

/** An IP address in the runtime's own spelling (`FD00:0::1` as `fd00::1`), so that texts compare equal. */
export function canonicalIp(address: string): string {
  if (isIP(address) !== 6) return address;
  // A zone (`%eth0`) is of this host alone, and no URL takes one.
  const zone = address.indexOf('%');
  const bare = zone < 0 ? address : address.slice(0, zone);
  return new URL(`http://[${bare}]/`).hostname.slice(1, -1) + (zone < 0 ? '' : address.slice(zone));
}

/** An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`, what a dual-stack socket shows) as IPv4. */
export function unmapped(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
