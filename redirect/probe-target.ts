import {
  addressBits,
  addressNumber,
  addressText,
  type IpRange,
  parseIpRange,
  rangeHas,
} from './ip-range.ts';
import type { Family, PortRange, RedirectSettings } from './settings.ts';

/** Where the proof connects to. */
export interface ProbeTarget {
  readonly address: string;
  readonly port: number;
}

/** Documentation networks (RFC 5737, RFC 3849): nobody answers there but the sidecar. */
const DOCUMENTATION = {
  v4: ['192.0.2.1', '198.51.100.1', '203.0.113.1'],
  v6: ['2001:db8::1'],
} as const;

/** Ranges of `-i` that are tried, so that a long list costs no more time than a short one. */
const RANGES_MAX = 16;

/**
 * Targets that the rules redirect outbound, best first; which of them has a route is not known here. `neighbours` are
 * addresses that this machine can reach without a default route, `local` its own, which the rules leave alone.
 */
export function outboundTargets(
  settings: RedirectSettings,
  family: Family,
  probePort: number,
  local: readonly string[],
  neighbours: readonly string[],
): readonly ProbeTarget[] {
  const { outboundRanges, outboundPorts, outboundPortsExcluded } = settings;
  const ranges = outboundRanges === '*' ? '*' : outboundRanges.filter((r) => r.family === family);
  const byPort = outboundPorts.length > 0;
  if (ranges !== '*' && ranges.length === 0 && !byPort) return [];
  const anywhere = [...DOCUMENTATION[family], ...neighbours];
  const addresses =
    ranges === '*' || ranges.length === 0 ? anywhere : ranges.slice(0, RANGES_MAX).flatMap(inside);
  const port =
    ranges !== '*' && ranges.length === 0
      ? (outboundPorts.map(firstOf).find((p) => !hasPort(outboundPortsExcluded, p)) ?? 0)
      : freePort(settings, probePort);
  if (port === 0) return [];
  const left = settings.outboundRangesExcluded.filter((range) => range.family === family);
  const loopback = parseIpRange(family === 'v4' ? '127.0.0.0/8' : '::/124')!;
  const own = new Set(local.map(addressNumber));
  return addresses
    .filter((address) => {
      const number = addressNumber(address);
      return ![loopback, ...left].some((range) => rangeHas(range, number)) && !own.has(number);
    })
    .map((address) => ({ address, port }));
}

/** The next port from `from` on that no rule leaves alone; 0 where there is none. */
export function freePort(
  { outboundPortsExcluded, tunnelPort }: RedirectSettings,
  from: number,
): number {
  for (let port = from; port <= 65_535; port++) {
    if (port !== tunnelPort && port !== 53 && !hasPort(outboundPortsExcluded, port)) return port;
  }
  return 0;
}

export function hasPort(ranges: readonly PortRange[], port: number): boolean {
  return ranges.some((range) => {
    const [first = '', last = first] = range.split(':');
    return Number(first) <= port && port <= Number(last);
  });
}

/** Another address of the network that an interface is in; none where it has no other. */
export function neighbourOf(family: Family, cidr: string): readonly string[] {
  const range = parseIpRange(cidr);
  if (range === null || range.family !== family) return [];
  const address = addressNumber(cidr.split('/')[0]!);
  return inside(range).filter((other) => addressNumber(other) !== address);
}

/** Two addresses of a range, neither that of the network nor the broadcast, where there are such. */
function inside({ family, first, prefixBits }: IpRange): readonly string[] {
  const size = 1n << BigInt(addressBits(family) - prefixBits);
  const all = size > 3n ? [first + 1n, first + 2n] : size === 2n ? [first, first + 1n] : [first];
  return all.map((number) => addressText(family, number));
}

function firstOf(range: PortRange): number {
  return Number(range.split(':')[0]);
}
