import { readFileSync } from 'node:fs';
import { call, findProgram } from './iptables.ts';

/**
 * The sidecar calls its app from `::6`, as it does from 127.0.0.6. All of 127.0.0.0/8 is loopback's, of IPv6 only
 * `::1`: the address has to be put on lo.
 */

/** Whether any interface has an IPv6 address; lo has one as soon as it is up, unless IPv6 is disabled. */
export function hasIpv6(): boolean {
  return ipv6Addresses() !== '';
}

export function hasPassthroughSource(): boolean {
  return /^0{31}6 .* lo$/m.test(ipv6Addresses());
}

/** Empty where it is there now, else what is wrong. */
export async function addPassthroughSource(path: string): Promise<string> {
  if (hasPassthroughSource()) return '';
  const ip = findProgram('ip', path);
  if (ip === '') {
    return 'the address ::6 cannot be put on lo: ip is not in PATH; install the package iproute2, or leave IPv6 out with --no-ipv6';
  }
  const done = await call(ip, ['-6', 'addr', 'add', '::6/128', 'dev', 'lo'], '');
  return done.ok || hasPassthroughSource()
    ? ''
    : `the address ::6 cannot be put on lo: ${done.message}`;
}

export async function removePassthroughSource(path: string): Promise<string> {
  if (!hasPassthroughSource()) return '';
  const ip = findProgram('ip', path);
  if (ip === '') return 'the address ::6 stays on lo: ip is not in PATH';
  const done = await call(ip, ['-6', 'addr', 'del', '::6/128', 'dev', 'lo'], '');
  return done.ok || !hasPassthroughSource() ? '' : `the address ::6 stays on lo: ${done.message}`;
}

function ipv6Addresses(): string {
  try {
    return readFileSync('/proc/net/if_inet6', 'utf8');
  } catch {
    return ''; // a kernel without IPv6
  }
}
