import { parseArgs } from 'node:util';
import {
  readGids,
  readIds,
  readInterfaces,
  readPort,
  readPorts,
  readRanges,
} from './flag-values.ts';
import { type RedirectSettings, SIDECAR_PORTS } from './settings.ts';

/** What `weft redirect` shall do, and with which rules. */
export interface CommandLine {
  readonly action: 'apply' | 'dry-run' | 'cleanup' | 'verify-only';
  readonly settings: RedirectSettings;
  /** Prove by real connections, after the rules are there. */
  readonly verify: boolean;
  readonly probePort: number;
  /** Milliseconds for the whole proof. */
  readonly probeTimeoutMs: number;
  /** `auto`: IPv4 alone, and said so, where this machine has no IPv6. */
  readonly ipv6: 'auto' | 'require' | 'off';
  /** Rules are written again even where they are right. */
  readonly force: boolean;
  /** Print only what went wrong. */
  readonly quiet: boolean;
  /** Where the nameservers stand. */
  readonly resolvConf: string;
  /** Said before anything is done. */
  readonly notes: readonly string[];
}

export type ParsedFlags =
  | { readonly kind: 'run'; readonly commandLine: CommandLine }
  | { readonly kind: 'help' }
  /** Every wrong flag, a line each. */
  | { readonly kind: 'problems'; readonly problems: readonly string[] };

export const USAGE = `Usage: weft redirect [options]

Writes the iptables rules that send an app's traffic through its sidecar. Needs NET_ADMIN.
Every flag also has the spelling of istio-iptables, given in brackets.

  -p, --outbound-port PORT           outbound connections go here, default 15001 [--envoy-port]
  -z, --inbound-port PORT            inbound connections go here, default 15006 [--inbound-capture-port]
  -e, --tunnel-port PORT             never redirected, default 15008 [--inbound-tunnel-port]
  -u, --proxy-uid UIDS               whose traffic is the sidecar's own, default 1337
  -g, --proxy-gid GIDS               default what -u says
  -m, --mode REDIRECT|NONE           NONE: no rules [--istio-inbound-interception-mode]
  -b, --inbound-ports PORTS          ports to take, or * (default) [--istio-inbound-ports]
  -d, --exclude-inbound-ports PORTS  left alone, beside 15090, 15021 and 15020 [--istio-local-exclude-ports]
  -q, --outbound-ports PORTS         taken whatever the address [--istio-outbound-ports]
  -o, --exclude-outbound-ports PORTS [--istio-local-outbound-ports-exclude]
  -i, --outbound-cidrs CIDRS         destinations to take, or * (default) [--istio-service-cidr]
  -x, --exclude-outbound-cidrs CIDRS [--istio-service-exclude-cidr]
  -c, --exclude-interfaces NAMES     traffic of these is left alone [--istio-exclude-interfaces]
  -k, --kube-virt-interfaces NAMES   what comes in here is treated as outbound
      --owner-groups GIDS            only apps of these groups
      --exclude-owner-groups GIDS    all apps but those of these groups
      --dns                          DNS to the servers of resolv.conf goes to the sidecar [--redirect-dns]
      --capture-all-dns              all DNS does
      --dns-port PORT                default 15053
      --resolv-conf FILE             default /etc/resolv.conf
      --drop-invalid                 drop packets that belong to no connection
      --ipv6 auto|require|off        default auto: IPv4 alone where there is no IPv6; --no-ipv6 is off

  -n, --dry-run                      print the rules, change nothing
      --cleanup                      remove what this command wrote, nothing else [--cleanup-only]
      --verify                       then prove by real connections that redirection works [--run-validation]
      --skip-rule-apply              with --verify: prove only
      --iptables-probe-port PORT     port of the test address, default 15002
      --probe-timeout DURATION       default 5s
      --force-apply                  write the rules again even where they are right
      --quiet                        print only what went wrong

PORTS: 80,443,8000:8010. CIDRS: 10.0.0.0/8,2001:db8::/32. Exit code 0 done, 1 failed, 64 wrong flags.
`;

/** Flag → its other spellings. */
const STRINGS: Readonly<Record<string, readonly string[]>> = {
  'outbound-port': ['envoy-port'],
  'inbound-port': ['inbound-capture-port'],
  'tunnel-port': ['inbound-tunnel-port'],
  'proxy-uid': [],
  'proxy-gid': [],
  mode: ['istio-inbound-interception-mode'],
  'inbound-ports': ['istio-inbound-ports'],
  'exclude-inbound-ports': ['istio-local-exclude-ports'],
  'outbound-ports': ['istio-outbound-ports'],
  'exclude-outbound-ports': ['istio-local-outbound-ports-exclude'],
  'outbound-cidrs': ['istio-service-cidr'],
  'exclude-outbound-cidrs': ['istio-service-exclude-cidr'],
  'exclude-interfaces': ['istio-exclude-interfaces'],
  'kube-virt-interfaces': [],
  'owner-groups': [],
  'exclude-owner-groups': [],
  'dns-port': [],
  'resolv-conf': [],
  ipv6: [],
  'iptables-probe-port': [],
  'probe-timeout': [],
};

const BOOLEANS: Readonly<Record<string, readonly string[]>> = {
  dns: ['redirect-dns'],
  'capture-all-dns': [],
  'drop-invalid': [],
  'no-ipv6': [],
  'dry-run': [],
  cleanup: ['cleanup-only'],
  verify: ['run-validation'],
  'skip-rule-apply': [],
  'force-apply': [],
  quiet: [],
  help: [],
};

const SHORT: Readonly<Record<string, string>> = {
  'outbound-port': 'p',
  'inbound-port': 'z',
  'tunnel-port': 'e',
  'proxy-uid': 'u',
  'proxy-gid': 'g',
  mode: 'm',
  'inbound-ports': 'b',
  'exclude-inbound-ports': 'd',
  'outbound-ports': 'q',
  'exclude-outbound-ports': 'o',
  'outbound-cidrs': 'i',
  'exclude-outbound-cidrs': 'x',
  'exclude-interfaces': 'c',
  'kube-virt-interfaces': 'k',
  'dry-run': 'n',
  help: 'h',
};

export function parseFlags(args: readonly string[]): ParsedFlags {
  const read = readWords(args);
  if (read.kind === 'problems') return read;
  const { strings, on } = read;
  if (on.has('help')) return { kind: 'help' };
  const problems: string[] = [];
  const text = (flag: string, fallback: string): string => strings.get(flag) ?? fallback;
  const say = (flag: string) => (problem: string) => void problems.push(`--${flag}: ${problem}`);
  const port = (flag: string, fallback: number) =>
    readPort(text(flag, String(fallback)), say(flag));
  const ports = (flag: string) => readPorts(text(flag, ''), say(flag));

  const mode = text('mode', 'REDIRECT');
  if (mode === 'TPROXY') {
    problems.push(
      '--mode: TPROXY is not supported: the sidecar would need NET_ADMIN for as long as it runs; use REDIRECT',
    );
  } else if (mode !== 'REDIRECT' && mode !== 'NONE') {
    problems.push(`--mode: "${mode}" is not one of REDIRECT, NONE`);
  }
  const proxyUids = readIds(text('proxy-uid', '1337'), say('proxy-uid'));
  const inboundList = text('inbound-ports', '*').trim();
  const outboundList = text('outbound-cidrs', '*').trim();
  const excludedList = text('exclude-outbound-cidrs', '').trim();
  if (excludedList === '*') {
    say('exclude-outbound-cidrs')('* would exclude everything; to redirect nothing give -i ""');
  }
  const ipv6 = on.has('no-ipv6') ? 'off' : text('ipv6', 'auto');
  if (ipv6 !== 'auto' && ipv6 !== 'require' && ipv6 !== 'off') {
    problems.push(`--ipv6: "${ipv6}" is not one of auto, require, off`);
  }
  if (on.has('no-ipv6') && strings.has('ipv6')) problems.push('--no-ipv6 and --ipv6: give one');
  if (strings.has('owner-groups') && strings.has('exclude-owner-groups')) {
    problems.push('--owner-groups and --exclude-owner-groups: give one');
  }
  const except = strings.has('exclude-owner-groups');
  const groups = except ? 'exclude-owner-groups' : 'owner-groups';
  const dnsPort = port('dns-port', 15053);
  if (strings.has('dns-port') && !on.has('dns') && !on.has('capture-all-dns')) {
    problems.push('--dns-port means nothing without --dns');
  }
  const outboundPort = port('outbound-port', 15001);
  const inboundPort = port('inbound-port', 15006);
  if (outboundPort === inboundPort) {
    problems.push(`--outbound-port and --inbound-port: both are ${outboundPort}`);
  }
  if (
    (on.has('dns') || on.has('capture-all-dns')) &&
    [outboundPort, inboundPort].includes(dnsPort)
  ) {
    problems.push(`--dns-port: ${dnsPort} is the port of --outbound-port or --inbound-port`);
  }
  const excludedInbound = ports('exclude-inbound-ports');
  const settings: RedirectSettings = {
    mode: mode === 'NONE' ? 'NONE' : 'REDIRECT',
    outboundPort,
    inboundPort,
    tunnelPort: port('tunnel-port', 15008),
    proxyUids,
    proxyGids: strings.has('proxy-gid')
      ? readGids(text('proxy-gid', ''), say('proxy-gid'))
      : proxyUids,
    inboundPorts: inboundList === '*' ? '*' : ports('inbound-ports'),
    inboundPortsExcluded: [...new Set([...SIDECAR_PORTS, ...excludedInbound])],
    outboundPorts: ports('outbound-ports'),
    outboundPortsExcluded: ports('exclude-outbound-ports'),
    outboundRanges: outboundList === '*' ? '*' : readRanges(outboundList, say('outbound-cidrs')),
    outboundRangesExcluded:
      excludedList === '*' ? [] : readRanges(excludedList, say('exclude-outbound-cidrs')),
    interfacesExcluded: readInterfaces(text('exclude-interfaces', ''), say('exclude-interfaces')),
    kubeVirtInterfaces: readInterfaces(
      text('kube-virt-interfaces', ''),
      say('kube-virt-interfaces'),
    ),
    ownerGroups: { except, gids: readGids(text(groups, ''), say(groups)) },
    dns: on.has('capture-all-dns')
      ? { kind: 'all', port: dnsPort }
      : on.has('dns')
        ? { kind: 'servers', port: dnsPort, v4: [], v6: [] }
        : { kind: 'off' },
    dropInvalid: on.has('drop-invalid'),
  };
  if (settings.proxyUids.length === 0 && problems.length === 0) {
    problems.push('--proxy-uid: empty; without it the sidecar would be redirected to itself');
  }
  const actions = ['dry-run', 'cleanup', 'skip-rule-apply'].filter((flag) => on.has(flag));
  if (actions.length > 1) problems.push(`--${actions.join(' and --')}: give one`);
  if (on.has('skip-rule-apply') && !on.has('verify')) {
    problems.push('--skip-rule-apply: nothing to do without --verify');
  }
  if (on.has('verify') && (on.has('cleanup') || on.has('dry-run'))) {
    problems.push('--verify needs the rules: it goes with neither --cleanup nor --dry-run');
  }
  const probePort = port('iptables-probe-port', 15002);
  const probeTimeoutMs = readDurationMs(text('probe-timeout', '5s'), say('probe-timeout'));
  if (problems.length > 0) return { kind: 'problems', problems };
  const notes: string[] = [];
  if (excludedInbound.length > 0 && settings.inboundPorts !== '*') {
    notes.push('-d has no effect beside a list in -b: only the ports of -b are redirected');
  }
  return {
    kind: 'run',
    commandLine: Object.freeze({
      action: on.has('dry-run')
        ? 'dry-run'
        : on.has('cleanup')
          ? 'cleanup'
          : on.has('skip-rule-apply')
            ? 'verify-only'
            : 'apply',
      settings: Object.freeze(settings),
      verify: on.has('verify'),
      probePort,
      probeTimeoutMs,
      ipv6: ipv6 as CommandLine['ipv6'],
      force: on.has('force-apply'),
      quiet: on.has('quiet'),
      resolvConf: text('resolv-conf', '/etc/resolv.conf'),
      notes,
    }),
  };
}

type Words =
  | {
      readonly kind: 'words';
      readonly strings: ReadonlyMap<string, string>;
      readonly on: ReadonlySet<string>;
    }
  | { readonly kind: 'problems'; readonly problems: readonly string[] };

/** Other spellings become the first one; `--flag=true` and `--flag=false`, which Go programs take, are taken too. */
function readWords(args: readonly string[]): Words {
  const primary = new Map<string, string>();
  const options: Record<string, { type: 'string' | 'boolean'; short?: string; multiple: true }> =
    {};
  for (const [table, type] of [
    [STRINGS, 'string'],
    [BOOLEANS, 'boolean'],
  ] as const) {
    for (const [flag, others] of Object.entries(table)) {
      const short = SHORT[flag];
      options[flag] = { type, multiple: true, ...(short === undefined ? {} : { short }) };
      primary.set(flag, flag);
      for (const other of others) {
        options[other] = { type, multiple: true };
        primary.set(other, flag);
      }
    }
  }
  const problems: string[] = [];
  const words = args.flatMap((word) => {
    const [, flag = '', value = ''] = /^--([a-z0-9-]+)=(.*)$/s.exec(word) ?? [];
    if (BOOLEANS[primary.get(flag) ?? ''] === undefined) return [word];
    if (/^(true|1|t)$/i.test(value)) return [`--${flag}`];
    if (/^(false|0|f)$/i.test(value)) return [];
    problems.push(`--${flag}: "${value}" is not true or false`);
    return [];
  });
  const strings = new Map<string, string>();
  const on = new Set<string>();
  try {
    const { values } = parseArgs({ args: words, options, strict: true, allowPositionals: false });
    for (const [name, given] of Object.entries(values)) {
      const flag = primary.get(name)!;
      const all = given as readonly (string | boolean)[];
      if (typeof all[0] === 'boolean') on.add(flag);
      else if (all.length > 1 || strings.has(flag)) problems.push(`--${flag}: given twice`);
      else strings.set(flag, all[0] as string);
    }
  } catch (error) {
    problems.push((error as Error).message);
  }
  return problems.length > 0 ? { kind: 'problems', problems } : { kind: 'words', strings, on };
}

/** `5s`, `500ms`, `1m`: 1 ms to 5 minutes. */
function readDurationMs(text: string, say: (problem: string) => void): number {
  const [, number = '', unit = ''] = /^([0-9]{1,6})(ms|s|m)$/.exec(text) ?? [];
  const ms = Number(number) * (unit === 'm' ? 60_000 : unit === 's' ? 1000 : 1);
  if (number !== '' && ms >= 1 && ms <= 300_000) return ms;
  say(`"${text}" is not a duration from 1ms to 5m, such as 5s`);
  return 0;
}
