/** Authority grammar: `uri-host [ ":" port ]` without userinfo (RFC 3986 §3.2, RFC 9110 §4.2.4). */

/** Bytes of a reg-name that stand for themselves: unreserved and sub-delims (RFC 3986 §3.2.2). */
const REG_NAME: Uint8Array = byteSet(
  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=",
);
const HEX: Uint8Array = byteSet('0123456789abcdefABCDEF');

const COLON = 0x3a;
const PORT_MAX = 65535;

/**
 * Whether `text` is a non-empty host with an optional port (0 to 65535). Stricter than RFC 3986 in
 * that `host:` with an empty port is refused: two readers could take it for different origins.
 */
export function isAuthority(text: string): boolean {
  const hostEnd = endOfHost(text);
  if (hostEnd <= 0) return false;
  return hostEnd === text.length || portAt(text, hostEnd) >= 0;
}

/** Whether `text` is `host:port` with a port from 1 to 65535 (authority-form, RFC 9112 §3.2.3). */
export function isAuthorityWithPort(text: string): boolean {
  const hostEnd = endOfHost(text);
  return hostEnd > 0 && hostEnd < text.length && portAt(text, hostEnd) > 0;
}

/** The host of a valid authority, in lower case; an IPv6 address keeps its brackets. */
export function hostOfAuthority(authority: string): string {
  const hostEnd = endOfHost(authority);
  return (hostEnd > 0 ? authority.slice(0, hostEnd) : authority).toLowerCase();
}

/** The port of a valid authority, or `fallback` where it names none. */
export function portOfAuthority(authority: string, fallback: number): number {
  const hostEnd = endOfHost(authority);
  if (hostEnd <= 0 || hostEnd === authority.length) return fallback;
  const port = portAt(authority, hostEnd);
  return port < 0 ? fallback : port;
}

/**
 * Whether two authorities are valid and name the same host and port: whatever the case of the host, and with
 * `defaultPort` (the scheme's; 0 = it has none) where a port is not said (RFC 3986 §6.2.2.1, §6.2.3).
 */
export function isSameAuthority(one: string, other: string, defaultPort: number): boolean {
  if (!isAuthority(one) || !isAuthority(other)) return false;
  if (hostOfAuthority(one) !== hostOfAuthority(other)) return false;
  return portOfAuthority(one, defaultPort) === portOfAuthority(other, defaultPort);
}

/** Offset just after the host, or -1 where there is no valid one. */
function endOfHost(text: string): number {
  if (text.charCodeAt(0) === 0x5b /* [ */) {
    const close = text.indexOf(']');
    return close > 0 && isIpv6Address(text, 1, close) ? close + 1 : -1;
  }
  let at = 0;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code <= 0xff && REG_NAME[code] === 1) continue;
    if (code === 0x25 /* % */ && isHex(text, at + 1) && isHex(text, at + 2)) {
      at += 2;
      continue;
    }
    break;
  }
  if (at === 0) return -1;
  return at === text.length || text.charCodeAt(at) === COLON ? at : -1;
}

/** The port after the colon at `at`, or -1. */
function portAt(text: string, at: number): number {
  if (text.charCodeAt(at) !== COLON) return -1;
  const digits = text.length - at - 1;
  if (digits < 1 || digits > 5) return -1;
  let port = 0;
  for (let digit = at + 1; digit < text.length; digit++) {
    const value = text.charCodeAt(digit) - 0x30;
    if (value < 0 || value > 9) return -1;
    port = port * 10 + value;
  }
  return port <= PORT_MAX ? port : -1;
}

/** IPv6address of RFC 3986 §3.2.2 in `text[start, end)`: no zone, optional dotted IPv4 tail. */
function isIpv6Address(text: string, start: number, end: number): boolean {
  let groups = 0;
  let elided = false;
  let at = start;
  if (text.startsWith('::', at)) {
    elided = true;
    at += 2;
    if (at === end) return true;
  }
  for (;;) {
    const groupStart = at;
    while (at < end && at - groupStart < 5 && isHex(text, at)) at++;
    const digits = at - groupStart;
    if (digits === 0 || digits > 4) return false;
    if (at < end && text.charCodeAt(at) === 0x2e /* . */) {
      if (!isIpv4Address(text.slice(groupStart, end))) return false;
      groups += 2;
      break;
    }
    groups++;
    if (at === end) break;
    if (text.charCodeAt(at) !== COLON) return false;
    at++;
    if (at < end && text.charCodeAt(at) === COLON) {
      if (elided) return false;
      elided = true;
      at++;
      if (at === end) break;
    }
  }
  return elided ? groups < 8 : groups === 8;
}

/** Four decimal octets without leading zeros (RFC 3986 IPv4address). */
function isIpv4Address(text: string): boolean {
  const octets = text.split('.', 5);
  return octets.length === 4 && octets.every((octet) => isOctet(octet));
}

function isOctet(text: string): boolean {
  if (text.length < 1 || text.length > 3 || (text.length > 1 && text.startsWith('0'))) return false;
  let value = 0;
  for (let at = 0; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return false;
    value = value * 10 + digit;
  }
  return value <= 255;
}

function isHex(text: string, at: number): boolean {
  const code = at < text.length ? text.charCodeAt(at) : 0;
  return code <= 0xff && HEX[code] === 1;
}

function byteSet(members: string): Uint8Array {
  const table = new Uint8Array(256);
  for (let at = 0; at < members.length; at++) table[members.charCodeAt(at)] = 1;
  return table;
}
