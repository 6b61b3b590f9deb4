import type { IpRange } from './ip-range.ts';
import {
  type DnsCapture,
  type Family,
  LOOPBACK,
  PASSTHROUGH_SOURCE,
  type PortRange,
  type RedirectSettings,
} from './settings.ts';

/**
 * Settings → rules, for one address family. The order in each chain is the contract: the first rule that fits
 * decides. It is Istio's (istio-iptables), so that what is known of Istio's rules holds for ours.
 *
 * Every rule in a chain of the kernel is a jump into a chain of ours, so that ours can be told from all others. For
 * that, two kinds of rule stand elsewhere than Istio has them: those of interfaces stand first in ISTIO_INBOUND and
 * ISTIO_OUTPUT, where Istio has them before the jump.
 */
export function ruleSet(settings: RedirectSettings, family: Family): readonly TableRules[] {
  if (settings.mode === 'NONE') return [];
  const dns = dnsOf(settings.dns, family);
  return [
    ...(settings.dropInvalid ? [mangleTable()] : []),
    ...(dns.targets.length > 0 ? [rawTable(settings, dns)] : []),
    natTable(settings, family, dns),
  ];
}

/** One table: our chains with their rules, and the jumps into them. */
export interface TableRules {
  readonly table: TableName;
  readonly chains: readonly Chain[];
  readonly jumps: readonly Jump[];
}

export type TableName = 'nat' | 'raw' | 'mangle';

export interface Chain {
  readonly name: string;
  /** Each as `iptables-save` prints it, without `-A CHAIN`. */
  readonly rules: readonly string[];
}

export interface Jump {
  /** A chain of the kernel. */
  readonly from: 'PREROUTING' | 'OUTPUT';
  readonly rule: string;
  /** Before all rules of others, or behind them. */
  readonly place: 'first' | 'last';
}

/** Every chain that we may make, by table: what else is there, under whatever name, is not ours. */
export const OWN_CHAINS: ReadonlyMap<string, readonly string[]> = new Map<TableName, string[]>([
  [
    'nat',
    ['ISTIO_INBOUND', 'ISTIO_REDIRECT', 'ISTIO_IN_REDIRECT', 'ISTIO_OUTPUT', 'ISTIO_OUTPUT_DNS'],
  ],
  ['raw', ['ISTIO_OUTPUT_DNS', 'ISTIO_INBOUND']],
  ['mangle', ['ISTIO_DROP']],
]);

interface DnsRules {
  readonly port: number;
  /** `-d` clauses, one for each server; one empty for all. None: no capture in this family. */
  readonly targets: readonly { readonly destination: string; readonly source: string }[];
  /** `-d` clause of this machine, where a server can be on it. */
  readonly loopback: readonly string[];
}

function dnsOf(dns: DnsCapture, family: Family): DnsRules {
  const loopback = family === 'v4' ? '-d 127.0.0.0/8 ' : '-d ::1/128 ';
  if (dns.kind === 'off') return { port: 0, targets: [], loopback: [] };
  if (dns.kind === 'all') {
    return { port: dns.port, targets: [{ destination: '', source: '' }], loopback: [loopback] };
  }
  const bits = family === 'v4' ? 32 : 128;
  return {
    port: dns.port,
    targets: dns[family].map((address) => ({
      destination: `-d ${address}/${bits} `,
      source: `-s ${address}/${bits} `,
    })),
    loopback: dns[family].some((address) => /^(127\.|::1$)/.test(address)) ? [loopback] : [],
  };
}

function natTable(settings: RedirectSettings, family: Family, dns: DnsRules): TableRules {
  const inbound = inboundRules(settings, family);
  return {
    table: 'nat',
    chains: [
      { name: 'ISTIO_INBOUND', rules: inbound },
      { name: 'ISTIO_REDIRECT', rules: [redirectTo('tcp', settings.outboundPort)] },
      { name: 'ISTIO_IN_REDIRECT', rules: [redirectTo('tcp', settings.inboundPort)] },
      { name: 'ISTIO_OUTPUT', rules: outputRules(settings, family, dns) },
      ...(dns.targets.length > 0 ? [{ name: 'ISTIO_OUTPUT_DNS', rules: dnsRules(dns) }] : []),
    ],
    jumps: [
      ...(takesInbound(settings)
        ? [{ from: 'PREROUTING', rule: '-p tcp -j ISTIO_INBOUND', place: 'last' } as const]
        : []),
      // Docker rewrites questions to its resolver 127.0.0.11:53 in OUTPUT too, and its rule was there before us: to
      // capture them, ours must come first. The sidecar's own pass through ISTIO_OUTPUT and meet Docker's rule then.
      {
        from: 'OUTPUT',
        rule: '-j ISTIO_OUTPUT',
        place: dns.targets.length > 0 ? 'first' : 'last',
      },
    ],
  };
}

function takesInbound({ inboundPorts, kubeVirtInterfaces }: RedirectSettings): boolean {
  return inboundPorts === '*' || inboundPorts.length > 0 || kubeVirtInterfaces.length > 0;
}

function inboundRules(settings: RedirectSettings, family: Family): readonly string[] {
  const { inboundPorts, inboundPortsExcluded, tunnelPort } = settings;
  return [
    ...settings.kubeVirtInterfaces.flatMap((name) => [
      ...destinations(settings.outboundRanges, family).map(
        (to) => `${to}-i ${name} -j ISTIO_REDIRECT`,
      ),
      `-i ${name} -j RETURN`,
    ]),
    ...settings.interfacesExcluded.map((name) => `-i ${name} -j RETURN`),
    `${port('tcp', String(tunnelPort))} -j RETURN`,
    ...(inboundPorts === '*'
      ? [
          ...inboundPortsExcluded.map((range) => `${port('tcp', range)} -j RETURN`),
          '-p tcp -j ISTIO_IN_REDIRECT',
        ]
      : inboundPorts.map((range) => `${port('tcp', range)} -j ISTIO_IN_REDIRECT`)),
  ];
}

function outputRules(settings: RedirectSettings, family: Family, dns: DnsRules): readonly string[] {
  return [
    ...settings.interfacesExcluded.map((name) => `-o ${name} -j RETURN`),
    ...settings.outboundPortsExcluded.flatMap((range) => [
      `${port('tcp', range)} -j RETURN`,
      `${port('udp', range)} -j RETURN`,
    ]),
    // The sidecar calls its app from this address; that must not come back to the sidecar.
    `-s ${PASSTHROUGH_SOURCE[family]} -o lo -j RETURN`,
    ...settings.proxyUids.flatMap((uid) => ownTraffic(settings, family, `--uid-owner ${uid}`)),
    ...settings.proxyGids.flatMap((gid) => ownTraffic(settings, family, `--gid-owner ${gid}`)),
    ...ownerGroupRules(settings),
    ...(dns.targets.length > 0 ? ['-j ISTIO_OUTPUT_DNS'] : []),
    // An app that talks to localhost means what runs beside it.
    `-d ${LOOPBACK[family]} -j RETURN`,
    ...settings.outboundRangesExcluded
      .filter((range) => range.family === family)
      .map((range) => `${destination(range)}-j RETURN`),
    ...settings.outboundPorts.map((range) => `${port('tcp', range)} -j ISTIO_REDIRECT`),
    ...destinations(settings.outboundRanges, family).map((to) => `${to}-j ISTIO_REDIRECT`),
  ];
}

/** What the sidecar itself sends is let out, and what an app sends to itself over lo is left alone. */
function ownTraffic(settings: RedirectSettings, family: Family, owner: string): readonly string[] {
  const captures = settings.dns.kind !== 'off';
  const notTunnel = captures
    ? `-m multiport ! --dports 53,${settings.tunnelPort}`
    : `-m tcp ! --dport ${settings.tunnelPort}`;
  const rules = [
    // An app calls its own service: app → sidecar → this pod's address over lo, which is inbound. Questions to a
    // resolver on this machine are not (Istio has this exception for the UID only; without it for the GID, a sidecar
    // of another UID would ask itself).
    `! -d ${LOOPBACK[family]} -o lo -p tcp ${notTunnel} -m owner ${owner} -j ISTIO_IN_REDIRECT`,
  ];
  if (!includesLoopback(settings)) {
    // App to itself by its own address. A question to a resolver on this machine is not that.
    const notDns = captures ? ' -p tcp -m tcp ! --dport 53' : '';
    rules.push(`-o lo${notDns} -m owner ! ${owner} -j RETURN`);
  }
  rules.push(`-m owner ${owner} -j RETURN`);
  return rules;
}

function includesLoopback({ outboundRanges }: RedirectSettings): boolean {
  if (outboundRanges === '*') return false;
  return outboundRanges.some(({ family, first }) =>
    family === 'v4' ? first >> 24n === 127n : first === 1n,
  );
}

function ownerGroupRules({ ownerGroups: { except, gids } }: RedirectSettings): readonly string[] {
  if (except) return gids.map((gid) => `-m owner --gid-owner ${gid} -j RETURN`);
  if (gids.length === 0) return [];
  return [`${gids.map((gid) => `-m owner ! --gid-owner ${gid} `).join('')}-j RETURN`];
}

function dnsRules({ port: to, targets }: DnsRules): readonly string[] {
  return ['tcp', 'udp'].flatMap((protocol) =>
    targets.map(
      ({ destination }) =>
        `${destination}-p ${protocol} -m ${protocol} --dport 53 -j REDIRECT --to-ports ${to}`,
    ),
  );
}

/**
 * Two conversations with one address and port, app with sidecar and sidecar with resolver, which connection tracking
 * must not take for one when both use the same source port: zone 1 sidecar and resolver, zone 2 app and sidecar.
 * A resolver on this machine stays in zone 0 with the sidecar: Docker's answers from another port than 53, which only
 * the zone of the question knows how to turn back (Istio has no such rule, and its sidecar gets no answer there).
 */
function rawTable(settings: RedirectSettings, dns: DnsRules): TableRules {
  const owners = [
    ...settings.proxyUids.map((uid) => `--uid-owner ${uid}`),
    ...settings.proxyGids.map((gid) => `--gid-owner ${gid}`),
  ];
  const skipped = settings.interfacesExcluded;
  return {
    table: 'raw',
    chains: [
      {
        name: 'ISTIO_OUTPUT_DNS',
        rules: [
          ...skipped.map((name) => `-o ${name} -j RETURN`),
          ...owners.flatMap((owner) => [
            ...dns.loopback.map(
              (to) => `${to}-p udp -m udp --dport 53 -m owner ${owner} -j RETURN`,
            ),
            `-p udp -m udp --dport 53 -m owner ${owner} -j CT --zone 1`,
            `-p udp -m udp --sport ${dns.port} -m owner ${owner} -j CT --zone 2`,
          ]),
          ...dns.targets.map(
            ({ destination }) => `${destination}-p udp -m udp --dport 53 -j CT --zone 2`,
          ),
        ],
      },
      {
        name: 'ISTIO_INBOUND',
        rules: [
          ...skipped.map((name) => `-i ${name} -j RETURN`),
          ...dns.targets.map(({ source }) => `${source}-p udp -m udp --sport 53 -j CT --zone 1`),
        ],
      },
    ],
    jumps: [
      { from: 'OUTPUT', rule: '-j ISTIO_OUTPUT_DNS', place: 'last' },
      { from: 'PREROUTING', rule: '-j ISTIO_INBOUND', place: 'last' },
    ],
  };
}

function mangleTable(): TableRules {
  return {
    table: 'mangle',
    chains: [{ name: 'ISTIO_DROP', rules: ['-j DROP'] }],
    jumps: [
      {
        from: 'PREROUTING',
        rule: '-m conntrack --ctstate INVALID -j ISTIO_DROP',
        place: 'last',
      },
    ],
  };
}

/** `-d` clauses; one empty for everything. */
function destinations(ranges: '*' | readonly IpRange[], family: Family): readonly string[] {
  if (ranges === '*') return [''];
  return ranges.filter((range) => range.family === family).map(destination);
}

function destination({ text, prefixBits }: IpRange): string {
  return prefixBits === 0 ? '' : `-d ${text} `;
}

function port(protocol: 'tcp' | 'udp', range: PortRange): string {
  return `-p ${protocol} -m ${protocol} --dport ${range}`;
}

function redirectTo(protocol: 'tcp' | 'udp', to: number): string {
  return `-p ${protocol} -j REDIRECT --to-ports ${to}`;
}
