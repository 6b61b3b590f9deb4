import { expect, test } from 'vitest';
import { type CommandLine, parseFlags } from './flags.ts';
import { restoreText } from './restore-text.ts';
import { ruleSet } from './rule-set.ts';
import type { Family, RedirectSettings } from './settings.ts';

/** The rules for each option, word for word as `iptables-save` prints them (redirect.tap.ts holds that against a kernel). */

function settingsOf(...args: string[]): RedirectSettings {
  const parsed = parseFlags(args);
  if (parsed.kind !== 'run') throw new Error(JSON.stringify(parsed));
  return (parsed.commandLine satisfies CommandLine).settings;
}

function rulesOf(settings: RedirectSettings, family: Family, table: string): string[] {
  const rules = ruleSet(settings, family).find((entry) => entry.table === table);
  return [
    ...(rules?.jumps ?? []).map(({ from, rule, place }) => `${place}: ${from} ${rule}`),
    ...(rules?.chains ?? []).flatMap(({ name, rules: all }) =>
      all.map((rule) => `${name} ${rule}`),
    ),
  ];
}

const nat = (family: Family, ...args: string[]) => rulesOf(settingsOf(...args), family, 'nat');

const OWN = {
  v4: [
    'ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN',
    'ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp -m tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT',
    'ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN',
    'ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN',
    'ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp -m tcp ! --dport 15008 -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT',
    'ISTIO_OUTPUT -o lo -m owner ! --gid-owner 1337 -j RETURN',
    'ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN',
  ],
  get v6() {
    return this.v4.map((rule) =>
      rule.replace('127.0.0.6/32', '::6/128').replace('127.0.0.1/32', '::1/128'),
    );
  },
};

const DEFAULT_V4 = [
  'last: PREROUTING -p tcp -j ISTIO_INBOUND',
  'last: OUTPUT -j ISTIO_OUTPUT',
  'ISTIO_INBOUND -p tcp -m tcp --dport 15008 -j RETURN',
  'ISTIO_INBOUND -p tcp -m tcp --dport 15090 -j RETURN',
  'ISTIO_INBOUND -p tcp -m tcp --dport 15021 -j RETURN',
  'ISTIO_INBOUND -p tcp -m tcp --dport 15020 -j RETURN',
  'ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT',
  'ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001',
  'ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006',
  ...OWN.v4,
  'ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN',
  'ISTIO_OUTPUT -j ISTIO_REDIRECT',
];

const outputOf = (rules: readonly string[]) =>
  rules.filter((rule) => rule.startsWith('ISTIO_OUTPUT '));
const inboundOf = (rules: readonly string[]) =>
  rules.filter((rule) => rule.startsWith('ISTIO_INBOUND '));

test('[KI-02] without flags: all inbound and outbound connections, in the order of Istio', () => {
  expect(nat('v4')).toEqual(DEFAULT_V4);
  expect(ruleSet(settingsOf(), 'v4').map(({ table }) => table)).toEqual(['nat']);
});

test('[KI-02] IPv6 has ::6 and ::1 in the places of 127.0.0.6 and 127.0.0.1', () => {
  const expected = DEFAULT_V4.map((rule) =>
    rule.replace('127.0.0.6/32', '::6/128').replace('127.0.0.1/32', '::1/128'),
  );
  expect(nat('v6')).toEqual(expected);
});

test('[KI-02] ports of their own', () => {
  const rules = nat('v4', '-p', '25001', '-z', '25006', '-e', '25008');
  expect(rules).toContain('ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 25001');
  expect(rules).toContain('ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 25006');
  expect(rules.filter((rule) => rule.includes('15008'))).toEqual([]);
  expect(inboundOf(rules)[0]).toBe('ISTIO_INBOUND -p tcp -m tcp --dport 25008 -j RETURN');
});

test('[KI-02] a list of inbound ports: these alone', () => {
  expect(inboundOf(nat('v4', '-b', '80,8000-8010'))).toEqual([
    'ISTIO_INBOUND -p tcp -m tcp --dport 15008 -j RETURN',
    'ISTIO_INBOUND -p tcp -m tcp --dport 80 -j ISTIO_IN_REDIRECT',
    'ISTIO_INBOUND -p tcp -m tcp --dport 8000:8010 -j ISTIO_IN_REDIRECT',
  ]);
});

test('[KI-02] no inbound ports: no jump from PREROUTING', () => {
  expect(nat('v4', '-b', '').filter((rule) => rule.includes('PREROUTING'))).toEqual([]);
});

test('[KI-02] excluded inbound ports come after those of the sidecar, once each', () => {
  expect(inboundOf(nat('v4', '-d', '22,15021,9000:9005'))).toEqual([
    ...DEFAULT_V4.slice(2, 6),
    'ISTIO_INBOUND -p tcp -m tcp --dport 22 -j RETURN',
    'ISTIO_INBOUND -p tcp -m tcp --dport 9000:9005 -j RETURN',
    'ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT',
  ]);
});

test('[KI-02] excluded outbound ports stand before all else, TCP and UDP', () => {
  expect(outputOf(nat('v4', '-o', '5432')).slice(0, 3)).toEqual([
    'ISTIO_OUTPUT -p tcp -m tcp --dport 5432 -j RETURN',
    'ISTIO_OUTPUT -p udp -m udp --dport 5432 -j RETURN',
    OWN.v4[0],
  ]);
});

test('[KI-02] outbound ports and CIDRs: excluded first, then ports, then CIDRs, each in its family', () => {
  const args = [
    '-q',
    '3306',
    '-i',
    '10.1.2.3/8,2001:DB8:0::/32',
    '-x',
    '10.9.0.0/16,fd00::/8,1.1.1.1',
  ];
  expect(outputOf(nat('v4', ...args)).slice(7)).toEqual([
    'ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN',
    'ISTIO_OUTPUT -d 10.9.0.0/16 -j RETURN',
    'ISTIO_OUTPUT -d 1.1.1.1/32 -j RETURN',
    'ISTIO_OUTPUT -p tcp -m tcp --dport 3306 -j ISTIO_REDIRECT',
    'ISTIO_OUTPUT -d 10.0.0.0/8 -j ISTIO_REDIRECT',
  ]);
  expect(outputOf(nat('v6', ...args)).slice(7)).toEqual([
    'ISTIO_OUTPUT -d ::1/128 -j RETURN',
    'ISTIO_OUTPUT -d fd00::/8 -j RETURN',
    'ISTIO_OUTPUT -p tcp -m tcp --dport 3306 -j ISTIO_REDIRECT',
    'ISTIO_OUTPUT -d 2001:db8::/32 -j ISTIO_REDIRECT',
  ]);
});

test('[KI-02] no CIDRs: nothing outbound is taken', () => {
  expect(outputOf(nat('v4', '-i', '')).at(-1)).toBe('ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN');
});

test('[KI-02] a loopback address among the CIDRs: apps are not let out over lo unseen', () => {
  const rules = outputOf(nat('v4', '-i', '127.1.2.3/32'));
  expect(rules.filter((rule) => rule.includes('! --uid-owner'))).toEqual([]);
  expect(rules.filter((rule) => rule.includes('! --gid-owner'))).toEqual([]);
  expect(rules.at(-1)).toBe('ISTIO_OUTPUT -d 127.1.2.3/32 -j ISTIO_REDIRECT');
});

test('[KI-02] several UIDs and GIDs: three rules for each, in the given order', () => {
  const owners = outputOf(nat('v4', '-u', '3,4', '-g', '1')).flatMap(
    (rule) => /(! )?--[ug]id-owner \d+/.exec(rule)?.[0] ?? [],
  );
  expect(owners).toEqual([
    ...['--uid-owner 3', '! --uid-owner 3', '--uid-owner 3'],
    ...['--uid-owner 4', '! --uid-owner 4', '--uid-owner 4'],
    ...['--gid-owner 1', '! --gid-owner 1', '--gid-owner 1'],
  ]);
});

test('[KI-02] interfaces: excluded ones return both ways, those of virtual machines go out', () => {
  const rules = nat('v4', '-c', 'eth1', '-k', 'vnet0,vnet1', '-i', '10.0.0.0/8');
  expect(inboundOf(rules).slice(0, 6)).toEqual([
    'ISTIO_INBOUND -d 10.0.0.0/8 -i vnet0 -j ISTIO_REDIRECT',
    'ISTIO_INBOUND -i vnet0 -j RETURN',
    'ISTIO_INBOUND -d 10.0.0.0/8 -i vnet1 -j ISTIO_REDIRECT',
    'ISTIO_INBOUND -i vnet1 -j RETURN',
    'ISTIO_INBOUND -i eth1 -j RETURN',
    'ISTIO_INBOUND -p tcp -m tcp --dport 15008 -j RETURN',
  ]);
  expect(outputOf(rules)[0]).toBe('ISTIO_OUTPUT -o eth1 -j RETURN');
});

test('[KI-02] interfaces of virtual machines are taken even where no inbound port is', () => {
  expect(nat('v4', '-b', '', '-k', 'vnet0').slice(0, 1)).toEqual([
    'last: PREROUTING -p tcp -j ISTIO_INBOUND',
  ]);
});

test('[KI-02] groups of apps: these alone, or all but these', () => {
  expect(outputOf(nat('v4', '--owner-groups', '7,8'))[7]).toBe(
    'ISTIO_OUTPUT -m owner ! --gid-owner 7 -m owner ! --gid-owner 8 -j RETURN',
  );
  expect(outputOf(nat('v4', '--exclude-owner-groups', '7,8')).slice(7, 9)).toEqual([
    'ISTIO_OUTPUT -m owner --gid-owner 7 -j RETURN',
    'ISTIO_OUTPUT -m owner --gid-owner 8 -j RETURN',
  ]);
});

const withServers: RedirectSettings = {
  ...settingsOf('--dns'),
  dns: { kind: 'servers', port: 15053, v4: ['10.0.0.10', '127.0.0.11'], v6: [] },
};

test('[DS-05] DNS of the nameservers: after the sidecar is let out, before localhost is', () => {
  const rules = rulesOf(withServers, 'v4', 'nat');
  expect(outputOf(rules)).toEqual([
    'ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN',
    ...['--uid-owner 1337', '--gid-owner 1337'].flatMap((owner) => [
      `ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp -m multiport ! --dports 53,15008 -m owner ${owner} -j ISTIO_IN_REDIRECT`,
      `ISTIO_OUTPUT -o lo -p tcp -m tcp ! --dport 53 -m owner ! ${owner} -j RETURN`,
      `ISTIO_OUTPUT -m owner ${owner} -j RETURN`,
    ]),
    'ISTIO_OUTPUT -j ISTIO_OUTPUT_DNS',
    'ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN',
    'ISTIO_OUTPUT -j ISTIO_REDIRECT',
  ]);
  expect(rules.filter((rule) => rule.startsWith('ISTIO_OUTPUT_DNS '))).toEqual([
    'ISTIO_OUTPUT_DNS -d 10.0.0.10/32 -p tcp -m tcp --dport 53 -j REDIRECT --to-ports 15053',
    'ISTIO_OUTPUT_DNS -d 127.0.0.11/32 -p tcp -m tcp --dport 53 -j REDIRECT --to-ports 15053',
    'ISTIO_OUTPUT_DNS -d 10.0.0.10/32 -p udp -m udp --dport 53 -j REDIRECT --to-ports 15053',
    'ISTIO_OUTPUT_DNS -d 127.0.0.11/32 -p udp -m udp --dport 53 -j REDIRECT --to-ports 15053',
  ]);
});

test("[DS-05] with DNS capture ours stands before Docker's rule for its resolver", () => {
  expect(rulesOf(withServers, 'v4', 'nat')).toContain('first: OUTPUT -j ISTIO_OUTPUT');
  // A family without nameservers has nothing to capture.
  expect(rulesOf(withServers, 'v6', 'nat')).toContain('last: OUTPUT -j ISTIO_OUTPUT');
  expect(rulesOf(withServers, 'v6', 'nat').join('\n')).not.toContain('ISTIO_OUTPUT_DNS');
});

test('[DS-05] two conntrack zones part the conversations of app and sidecar', () => {
  expect(rulesOf(withServers, 'v4', 'raw')).toEqual([
    'last: OUTPUT -j ISTIO_OUTPUT_DNS',
    'last: PREROUTING -j ISTIO_INBOUND',
    ...['--uid-owner 1337', '--gid-owner 1337'].flatMap((owner) => [
      `ISTIO_OUTPUT_DNS -d 127.0.0.0/8 -p udp -m udp --dport 53 -m owner ${owner} -j RETURN`,
      `ISTIO_OUTPUT_DNS -p udp -m udp --dport 53 -m owner ${owner} -j CT --zone 1`,
      `ISTIO_OUTPUT_DNS -p udp -m udp --sport 15053 -m owner ${owner} -j CT --zone 2`,
    ]),
    'ISTIO_OUTPUT_DNS -d 10.0.0.10/32 -p udp -m udp --dport 53 -j CT --zone 2',
    'ISTIO_OUTPUT_DNS -d 127.0.0.11/32 -p udp -m udp --dport 53 -j CT --zone 2',
    'ISTIO_INBOUND -s 10.0.0.10/32 -p udp -m udp --sport 53 -j CT --zone 1',
    'ISTIO_INBOUND -s 127.0.0.11/32 -p udp -m udp --sport 53 -j CT --zone 1',
  ]);
  expect(rulesOf(withServers, 'v6', 'raw')).toEqual([]);
});

test('[DS-05] all DNS: no address in any rule, both families', () => {
  const settings = settingsOf('--capture-all-dns', '--dns-port', '2053');
  for (const family of ['v4', 'v6'] as const) {
    expect(rulesOf(settings, family, 'nat')).toContain(
      'ISTIO_OUTPUT_DNS -p udp -m udp --dport 53 -j REDIRECT --to-ports 2053',
    );
    expect(rulesOf(settings, family, 'raw').slice(-2)).toEqual([
      'ISTIO_OUTPUT_DNS -p udp -m udp --dport 53 -j CT --zone 2',
      'ISTIO_INBOUND -p udp -m udp --sport 53 -j CT --zone 1',
    ]);
  }
});

test('[KI-02] invalid packets are dropped in mangle', () => {
  expect(rulesOf(settingsOf('--drop-invalid'), 'v6', 'mangle')).toEqual([
    'last: PREROUTING -m conntrack --ctstate INVALID -j ISTIO_DROP',
    'ISTIO_DROP -j DROP',
  ]);
});

test('mode NONE has no rules', () => {
  expect(ruleSet(settingsOf('-m', 'NONE'), 'v4')).toEqual([]);
});

test('a CIDR of everything is written without an address, as iptables prints it', () => {
  expect(outputOf(nat('v4', '-i', '0.0.0.0/0')).at(-1)).toBe('ISTIO_OUTPUT -j ISTIO_REDIRECT');
});

test('the text for iptables-restore: chains, jumps, rules, one COMMIT for each table', () => {
  const text = restoreText(ruleSet(settingsOf('-b', '80', '-i', ''), 'v4'), []);
  expect(text.split('\n').slice(0, 9)).toEqual([
    '*nat',
    ':ISTIO_INBOUND - [0:0]',
    ':ISTIO_REDIRECT - [0:0]',
    ':ISTIO_IN_REDIRECT - [0:0]',
    ':ISTIO_OUTPUT - [0:0]',
    '-A PREROUTING -p tcp -j ISTIO_INBOUND',
    '-A OUTPUT -j ISTIO_OUTPUT',
    '-A ISTIO_INBOUND -p tcp -m tcp --dport 15008 -j RETURN',
    '-A ISTIO_INBOUND -p tcp -m tcp --dport 80 -j ISTIO_IN_REDIRECT',
  ]);
  expect(text.endsWith('\nCOMMIT\n')).toBe(true);
});
