import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseFlags, USAGE } from './flags.ts';

const NUM_RUNS = Number(process.env['WEFT_FUZZ_RUNS'] ?? 300);

function commandLine(...args: string[]) {
  const parsed = parseFlags(args);
  if (parsed.kind !== 'run') throw new Error(JSON.stringify(parsed));
  return parsed.commandLine;
}

test('without flags: what Istio injects', () => {
  const { action, verify, probePort, probeTimeoutMs, ipv6, settings } = commandLine();
  expect({ action, verify, probePort, probeTimeoutMs, ipv6 }).toEqual({
    action: 'apply',
    verify: false,
    probePort: 15002,
    probeTimeoutMs: 5000,
    ipv6: 'auto',
  });
  expect(settings).toMatchObject({
    mode: 'REDIRECT',
    outboundPort: 15001,
    inboundPort: 15006,
    tunnelPort: 15008,
    proxyUids: [1337],
    proxyGids: [1337],
    inboundPorts: '*',
    outboundRanges: '*',
    dns: { kind: 'off' },
  });
});

test('the arguments of Istio’s init container are taken as they are', () => {
  const { settings } = commandLine(
    ...['-p', '15001', '-z', '15006', '-u', '1337', '-m', 'REDIRECT', '-i', '*', '-x', ''],
    ...['-b', '*', '-d', '15090,15021,15020', '-q', '', '-o', '', '-k', '', '-c', ''],
    '--redirect-dns=true',
    '--capture-all-dns=false',
    '--run-validation=false',
  );
  expect(settings.inboundPortsExcluded).toEqual(['15090', '15021', '15020']);
  expect(settings.dns.kind).toBe('servers');
});

test.each([
  [
    ['--envoy-port', '1'],
    ['--outbound-port', '1'],
  ],
  [
    ['--inbound-capture-port', '2'],
    ['-z', '2'],
  ],
  [['--inbound-tunnel-port', '3'], ['--tunnel-port=3']],
  [
    ['--istio-inbound-interception-mode', 'NONE'],
    ['--mode', 'NONE'],
  ],
  [
    ['--istio-inbound-ports', '80'],
    ['--inbound-ports', '80'],
  ],
  [
    ['--istio-local-exclude-ports', '80'],
    ['--exclude-inbound-ports', '80'],
  ],
  [
    ['--istio-outbound-ports', '80'],
    ['--outbound-ports', '80'],
  ],
  [
    ['--istio-local-outbound-ports-exclude', '80'],
    ['--exclude-outbound-ports', '80'],
  ],
  [
    ['--istio-service-cidr', '10.0.0.0/8'],
    ['--outbound-cidrs', '10.0.0.0/8'],
  ],
  [
    ['--istio-service-exclude-cidr', '10.0.0.0/8'],
    ['--exclude-outbound-cidrs', '10.0.0.0/8'],
  ],
  [
    ['--istio-exclude-interfaces', 'eth1'],
    ['--exclude-interfaces', 'eth1'],
  ],
  [['--redirect-dns'], ['--dns']],
  [['--cleanup-only'], ['--cleanup']],
  [['--run-validation'], ['--verify']],
  [['--no-ipv6'], ['--ipv6', 'off']],
])('%s is %s', (istio, ours) => {
  expect(commandLine(...istio)).toEqual(commandLine(...ours));
});

test.each([
  ['-p 0', '--outbound-port: "0" is not a port from 1 to 65535'],
  ['-p 65536', '--outbound-port: "65536" is not a port from 1 to 65535'],
  ['-p 1e3', '--outbound-port: "1e3" is not a port'],
  ['-p ', '--outbound-port: "" is not a port'],
  ['-z 15001', '--outbound-port and --inbound-port: both are 15001'],
  ['-b 80,x', '--inbound-ports: "x" is not a port'],
  ['-b 80,*', '--inbound-ports: "*" stands alone'],
  ['-b 90:80', '--inbound-ports: "90:80" ends before it begins'],
  ['-b 1:2:3', '--inbound-ports: "1:2:3" is not a port'],
  ['-b 80:', '--inbound-ports: "80:" is not a port'],
  ['-q 70000', '--outbound-ports: "70000" is not a port'],
  ['-o -1', "'-o' argument is ambiguous"],
  ['-d 0', '--exclude-inbound-ports: "0" is not a port'],
  ['-i 10.0.0.0/33', '--outbound-cidrs: "10.0.0.0/33" is not a CIDR block'],
  ['-i 10.0.0/8', '--outbound-cidrs: "10.0.0/8" is not a CIDR block'],
  ['-i example.com', '--outbound-cidrs: "example.com" is not a CIDR block'],
  ['-i *,10.0.0.0/8', '--outbound-cidrs: "*" stands alone'],
  ['-x *', '--exclude-outbound-cidrs: * would exclude everything'],
  ['-x fe80::1%eth0/64', '--exclude-outbound-cidrs: "fe80::1%eth0/64" is not a CIDR block'],
  ['-x 2001:db8::/129', '--exclude-outbound-cidrs: "2001:db8::/129" is not a CIDR block'],
  ['-u 0', '--proxy-uid: 0 is refused'],
  ['-u 1337,root', '--proxy-uid: "root" is not the number of a user'],
  ['-u 4294967295', '--proxy-uid: "4294967295" is not the number of a user'],
  ['-u ,', '--proxy-uid: empty'],
  ['-g 0', '--proxy-gid: 0 is refused'],
  ['--owner-groups staff', '--owner-groups: "staff" is not the number of a group'],
  ['--owner-groups 1 --exclude-owner-groups 2', '--owner-groups and --exclude-owner-groups'],
  ['-c eth0;rm', '--exclude-interfaces: "eth0;rm" is not the name of a network interface'],
  ['-c -j', 'argument is ambiguous'],
  ['-c=-j', '--exclude-interfaces: "=-j" is not the name'],
  ['-k averyveryverylongname', '--kube-virt-interfaces: "averyveryverylongname" is not the name'],
  ['-m TPROXY', '--mode: TPROXY is not supported'],
  ['-m redirect', '--mode: "redirect" is not one of REDIRECT, NONE'],
  ['--ipv6 yes', '--ipv6: "yes" is not one of auto, require, off'],
  ['--ipv6 auto --no-ipv6', '--no-ipv6 and --ipv6: give one'],
  ['--dns-port 53', '--dns-port means nothing without --dns'],
  ['--dns --dns-port 15006', '--dns-port: 15006 is the port of'],
  ['--dns=maybe', '--dns: "maybe" is not true or false'],
  ['--cleanup --dry-run', '--dry-run and --cleanup: give one'],
  ['--cleanup --verify', '--verify needs the rules'],
  ['--skip-rule-apply', '--skip-rule-apply: nothing to do without --verify'],
  ['--probe-timeout 0s', '--probe-timeout: "0s" is not a duration'],
  ['--probe-timeout 6m', '--probe-timeout: "6m" is not a duration'],
  ['-p 1 --envoy-port 2', '--outbound-port: given twice'],
  ['-p 1 -p 2', '--outbound-port: given twice'],
  ['--network-namespace x', "Unknown option '--network-namespace'"],
  ['word', "Unexpected argument 'word'"],
])('%s is refused by name', (args, message) => {
  const parsed = parseFlags(args.split(' '));
  expect(parsed.kind === 'problems' ? parsed.problems.join('\n') : parsed).toContain(message);
});

test('every wrong flag is said at once', () => {
  const parsed = parseFlags(['-p', '0', '-u', '0', '-x', 'nothing']);
  expect(parsed.kind === 'problems' && parsed.problems.length).toBe(3);
});

test('a list longer than 512 is refused', () => {
  const ports = Array.from({ length: 513 }, (_, at) => at + 1).join(',');
  const parsed = parseFlags(['-o', ports]);
  expect(parsed.kind === 'problems' && parsed.problems[0]).toContain('513 entries; at most 512');
});

test('-d beside a list in -b is said to do nothing', () => {
  expect(commandLine('-b', '80', '-d', '80').notes[0]).toContain('-d has no effect');
});

test('help names every flag', () => {
  for (const flag of USAGE.match(/--[a-z0-9-]+/g)!) {
    const parsed = parseFlags([flag === '--help' ? '-h' : flag, '1']);
    const said = parsed.kind === 'problems' ? parsed.problems.join() : '';
    expect(said).not.toContain('Unknown option');
  }
});

test('fuzz: no argument can put a word of its own into a rule', () => {
  const flag = fc.constantFrom('-b', '-d', '-q', '-o', '-i', '-x', '-c', '-k', '-u', '-g');
  fc.assert(
    fc.property(flag, fc.string({ unit: 'binary' }), (name, value) => {
      const parsed = parseFlags([`${name}${value}`]);
      if (parsed.kind !== 'run') return;
      expect(JSON.stringify(parsed.commandLine.settings)).toMatch(/^[\w\s"{}[\]:,.*/@+-]*$/);
    }),
    { numRuns: NUM_RUNS },
  );
});
