import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ROOT } from './harness/node-process.ts';
import {
  inPath,
  namespacesMissing,
  RedirectNamespaces,
  runToEnd,
} from './harness/redirect-namespace.ts';

/** `weft redirect` against real kernels: rules, connections and faults in network namespaces of its own. */

t.setTimeout(200_000);
// The kernel takes its time over each change of rules, and every test has namespaces of its own.
t.jobs = 4;

const skip = namespacesMissing();
const APP = 1000;
const SIDECAR = 1337;

const directory = mkdtempSync(join(tmpdir(), 'weft-redirect-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const resolvConf = join(directory, 'resolv.conf');
writeFileSync(resolvConf, 'nameserver 10.77.0.1\nnameserver fd77::1\n');
const WITH_DNS = ['--dns', '--resolv-conf', resolvConf];

/** A test in namespaces of its own, which are gone after it. */
function inNamespaces(
  name: string,
  body: (t: Test, net: RedirectNamespaces) => Promise<void>,
): void {
  t.test(name, { skip, buffered: true }, async (t) => {
    const net = new RedirectNamespaces();
    t.teardown(() => net.close());
    await body(t, net);
  });
}

const ownLines = (saved: string) => saved.split('\n').filter((line) => line.includes('ISTIO_'));

const EVERY_OPTION = [
  ['-q', '5432', '-o', '22,9000:9010', '-b', '*', '-d', '2222'],
  ['-i', '10.0.0.0/8,0.0.0.0/0,fd00::/8', '-x', '10.9.0.0/16,2001:DB8::/32', '-c', 'eth7,veth+'],
  ['-b', '80,8000:8010', '-k', 'vnet0', '-u', '1337,1338', '-g', '7', '--owner-groups', '8,9'],
  [...WITH_DNS, '--drop-invalid', '--exclude-owner-groups', '5'],
  ['--capture-all-dns', '-i', '127.0.0.0/8'],
  ['-b', '', '-i', ''],
  [],
];

inNamespaces(
  '[KI-02] the kernel says back what was written, and a second run changes nothing',
  async (t, net) => {
    for (const args of EVERY_OPTION) {
      const first = await net.redirect('--quiet', ...args);
      t.match(first, { code: 0, stdout: '', stderr: '' }, args.join(' '));
      const dry = (await net.redirect('-n', ...args)).stdout.split('# ip6tables-restore');
      for (const [at, family] of (['v4', 'v6'] as const).entries()) {
        const rules = ownLines(await net.saved(family)).sort();
        const printed = ownLines(dry[at]!.replace('-I OUTPUT 1 ', '-A OUTPUT ')).sort();
        t.strictSame(rules, printed, `${family} ${args.join(' ')}`);
      }
      const loaded = [await net.saved('v4'), await net.saved('v6')];
      const again = await net.redirect(...args);
      t.match(again.stderr, /IPv4: nothing to do/);
      t.match(again.stderr, /IPv6: nothing to do/);
      t.strictSame([await net.saved('v4'), await net.saved('v6')], loaded);
      t.equal((await net.redirect('--force-apply', '--quiet', ...args)).code, 0);
      t.strictSame([await net.saved('v4'), await net.saved('v6')], loaded);
    }
    t.match((await net.redirect()).stderr, /now loaded\n\*nat\n:ISTIO_INBOUND/);
  },
);

inNamespaces(
  '[KI-02] half-written, doubled and foreign-made rules of ours are repaired, and said',
  async (t, net) => {
    await net.redirect('--quiet', ...WITH_DNS);
    const loaded = async () => ownLines(await net.saved('v4')).join('\n');
    const right = await loaded();
    const damages: readonly (readonly string[])[] = [
      ['-t', 'nat', '-D', 'OUTPUT', '-j', 'ISTIO_OUTPUT'],
      ['-t', 'nat', '-A', 'OUTPUT', '-p', 'tcp', '-j', 'ISTIO_OUTPUT'],
      ['-t', 'nat', '-F', 'ISTIO_OUTPUT'],
      ['-t', 'nat', '-I', 'ISTIO_OUTPUT', '-j', 'RETURN'],
      ['-t', 'nat', '-D', 'ISTIO_INBOUND', '1'],
      ['-t', 'raw', '-F', 'ISTIO_INBOUND'],
      ['-t', 'mangle', '-N', 'ISTIO_DROP'],
      ['-t', 'nat', '-R', 'ISTIO_REDIRECT', '1', '-p', 'tcp', '-j', 'REDIRECT', '--to-ports', '9'],
      ['-t', 'nat', '-F'],
    ];
    for (const damage of damages) {
      await net.iptables('v4', ...damage);
      t.not(await loaded(), right, damage.join(' '));
      const { code, stderr } = await net.redirect(...WITH_DNS);
      t.equal(code, 0, damage.join(' '));
      t.match(stderr, /IPv4: repairing /);
      t.equal(await loaded(), right, damage.join(' '));
    }
  },
);

const FOREIGN = `*nat
:DOCKER_OUTPUT - [0:0]
:DOCKER_POSTROUTING - [0:0]
-A OUTPUT -d 127.0.0.11/32 -j DOCKER_OUTPUT
-A POSTROUTING -d 127.0.0.11/32 -j DOCKER_POSTROUTING
-A DOCKER_OUTPUT -d 127.0.0.11/32 -p tcp -m tcp --dport 53 -j DNAT --to-destination 127.0.0.11:41001
-A DOCKER_OUTPUT -d 127.0.0.11/32 -p udp -m udp --dport 53 -j DNAT --to-destination 127.0.0.11:41002
-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p tcp -m tcp --sport 41001 -j SNAT --to-source :53
-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p udp -m udp --sport 41002 -j SNAT --to-source :53
-A PREROUTING -i eth9 -m comment --comment "mine -j ISTIO_INBOUND" -j RETURN
COMMIT
*raw
-A PREROUTING -s 192.0.2.0/24 -j DROP
COMMIT
*mangle
-A OUTPUT -p tcp -m tcp --dport 9999 -j MARK --set-xmark 0x1/0xffffffff
COMMIT
`;

inNamespaces(
  '[KI-02] rules of others stay byte for byte over apply, repair and cleanup',
  async (t, net) => {
    await net.restore(FOREIGN);
    const before = await net.saved('v4');
    for (const args of [
      [],
      [...WITH_DNS, '--drop-invalid'],
      ['--capture-all-dns', '-k', 'vnet0'],
    ]) {
      await net.redirect('--quiet', ...args);
      const without = (await net.saved('v4'))
        .split('\n')
        .filter((line) => !/(:|-j |-A )ISTIO_/.test(line) || line.includes('"mine'));
      t.strictSame(without.join('\n'), before, args.join(' '));
    }
    const { code, stderr } = await net.redirect('--cleanup');
    t.equal(code, 0);
    t.match(stderr, /IPv4: rules removed/);
    t.equal(await net.saved('v4'), before);
    t.notMatch(await net.saved('v6'), /ISTIO_/);
    t.match((await net.redirect('--cleanup')).stderr, /IPv4: nothing to do/);
    const lo = await net.run(net.app, 'ip', ['-6', 'addr', 'show', 'dev', 'lo']);
    t.notMatch(lo.stdout, /::6\/128/, 'the address that it put on lo is gone');
  },
);

inNamespaces('[KI-02] connections go where the rules say', async (t, net) => {
  await net.answering(net.app, SIDECAR, 'sidecar', [
    'tcp/::/15001',
    'tcp/::/15006',
    'tcp/::/15021',
  ]);
  await net.answering(net.app, APP, 'app', ['tcp/::/8080', 'tcp/::/2222']);
  await net.answering(net.peer, APP, 'peer', ['tcp/::/8080', 'tcp/::/9000', 'tcp/::/5432']);
  const args = ['-d', '2222', '-o', '9000', '-x', '198.51.100.0/24,2001:db8::/32'];
  t.equal((await net.redirect('--quiet', ...args)).code, 0);
  const from = {
    outside: (address: string, port: number) => net.ask(net.peer, APP, 'tcp', address, port),
    app: (address: string, port: number, source = '') =>
      net.ask(net.app, APP, 'tcp', address, port, source),
    sidecar: (address: string, port: number, source = '') =>
      net.ask(net.app, SIDECAR, 'tcp', address, port, source),
  };
  for (const [self, peer, localhost, passthrough, excluded] of [
    ['10.77.0.2', '10.77.0.1', '127.0.0.1', '127.0.0.6', '198.51.100.7'],
    ['fd77::2', 'fd77::1', '::1', '::6', '2001:db8::7'],
  ] as const) {
    t.match(await from.outside(self, 8080), /^sidecar:15006 /, `outside → app, ${self}`);
    t.match(
      await from.outside(self, 7),
      /^sidecar:15006 /,
      'outside → a port that nobody listens on',
    );
    t.match(await from.outside(self, 2222), /^app:2222 /, 'outside → excluded port');
    t.match(await from.outside(self, 15021), /^sidecar:15021 /, 'outside → health port');
    t.equal(
      await from.outside(self, 15008),
      'ECONNREFUSED',
      'outside → tunnel port is not redirected',
    );
    t.match(await from.app(peer, 8080), /^sidecar:15001 /, 'app → other host');
    t.match(await from.app(peer, 9000), /^peer:9000 /, 'app → excluded outbound port');
    t.notMatch(await from.app(excluded, 8080), /sidecar/, 'app → excluded CIDR');
    t.match(await from.app(self, 8080), /^app:8080 /, 'app → its own address');
    t.match(await from.app(localhost, 8080), /^app:8080 /, 'app → localhost');
    t.match(await from.sidecar(peer, 8080), /^peer:8080 /, 'sidecar → other host');
    t.match(await from.sidecar(localhost, 8080), /^app:8080 /, 'sidecar → app by localhost');
    t.match(await from.sidecar(self, 8080), /^sidecar:15006 /, 'sidecar → own service: inbound');
    t.equal(
      await from.sidecar(self, 8080, passthrough),
      `app:8080 from ${passthrough}`,
      'sidecar → app from the passthrough address',
    );
  }
});

inNamespaces('[KI-02] only what -i, -q and -b name is taken', async (t, net) => {
  await net.answering(net.app, SIDECAR, 'sidecar', ['tcp/::/15001', 'tcp/::/15006']);
  await net.answering(net.app, APP, 'app', ['tcp/::/8080', 'tcp/::/8081']);
  await net.answering(net.peer, APP, 'peer', ['tcp/::/8080', 'tcp/::/5432']);
  const ask = (address: string, port: number) => net.ask(net.app, APP, 'tcp', address, port);
  await net.redirect('--quiet', '-b', '8080', '-i', '198.51.100.0/24', '-q', '5432');
  t.match(await net.ask(net.peer, APP, 'tcp', '10.77.0.2', 8080), /^sidecar:15006 /);
  t.match(await net.ask(net.peer, APP, 'tcp', '10.77.0.2', 8081), /^app:8081 /);
  t.match(await ask('10.77.0.1', 8080), /^peer:8080 /);
  t.match(await ask('198.51.100.7', 8080), /^sidecar:15001 /);
  t.match(await ask('10.77.0.1', 5432), /^sidecar:15001 /);
  await net.redirect('--quiet', '-c', 'eth0');
  t.match(
    await net.ask(net.peer, APP, 'tcp', '10.77.0.2', 8080),
    /^app:8080 /,
    'excluded interface in',
  );
  t.match(await ask('10.77.0.1', 8080), /^peer:8080 /, 'excluded interface out');
  await net.redirect('--quiet', '-k', 'eth0', '-i', '10.77.0.0/24');
  t.match(
    await net.ask(net.peer, APP, 'tcp', '10.77.0.2', 8080),
    /^sidecar:15001 /,
    'a virtual machine goes out',
  );
  await net.redirect('--quiet', '--owner-groups', '2000');
  t.match(await ask('10.77.0.1', 8080), /^peer:8080 /, 'an app of another group');
  t.match(
    await net.ask(net.app, 2000, 'tcp', '10.77.0.1', 8080),
    /^sidecar:15001 /,
    'an app of the group',
  );
});

inNamespaces(
  '[DS-05] DNS of the app goes to the sidecar, that of the sidecar to the nameserver',
  async (t, net) => {
    const both = (host: string, port: number) => [`tcp/${host}/${port}`, `udp/${host}/${port}`];
    await net.answering(net.app, SIDECAR, 'sidecar', [
      ...both('127.0.0.1', 15053),
      ...both('::1', 15053),
      'tcp/::/15001',
    ]);
    await net.answering(net.peer, 0, 'nameserver', [
      ...both('10.77.0.1', 53),
      ...both('fd77::1', 53),
    ]);
    for (const args of [WITH_DNS, ['--capture-all-dns']]) {
      t.equal((await net.redirect('--quiet', ...args)).code, 0);
      for (const server of ['10.77.0.1', 'fd77::1']) {
        for (const protocol of ['udp', 'tcp'] as const) {
          const what = `${args[0]} ${protocol} ${server}`;
          t.match(
            await net.ask(net.app, APP, protocol, server, 53),
            /^sidecar:15053 /,
            `app ${what}`,
          );
          t.match(
            await net.ask(net.app, SIDECAR, protocol, server, 53),
            /^nameserver:53 /,
            `sidecar ${what}`,
          );
        }
      }
    }
  },
);

inNamespaces(
  "[DS-05] Docker's resolver: the app's questions are captured, the sidecar's reach it",
  async (t, net) => {
    await net.restore(FOREIGN);
    await net.answering(net.app, SIDECAR, 'sidecar', [
      'tcp/127.0.0.1/15053',
      'udp/127.0.0.1/15053',
      'tcp/::/15001',
    ]);
    await net.answering(net.app, 0, 'docker', ['tcp/127.0.0.11/41001', 'udp/127.0.0.11/41002']);
    writeFileSync(`${resolvConf}.docker`, 'nameserver 127.0.0.11\noptions ndots:0\n');
    await net.redirect('--quiet');
    for (const protocol of ['udp', 'tcp'] as const) {
      t.match(
        await net.ask(net.app, APP, protocol, '127.0.0.11', 53),
        /^docker:/,
        `without capture, ${protocol}`,
      );
    }
    const args = ['--dns', '--resolv-conf', `${resolvConf}.docker`];
    t.equal((await net.redirect('--quiet', ...args)).code, 0);
    for (const protocol of ['udp', 'tcp'] as const) {
      t.match(
        await net.ask(net.app, APP, protocol, '127.0.0.11', 53),
        /^sidecar:15053 /,
        `app, ${protocol}`,
      );
      t.match(
        await net.ask(net.app, SIDECAR, protocol, '127.0.0.11', 53),
        /^docker:/,
        `sidecar, ${protocol}`,
      );
    }
  },
);

inNamespaces('[KI-02] --verify proves both families, and says why it cannot', async (t, net) => {
  const good = await net.redirect('--verify', ...WITH_DNS);
  t.equal(good.code, 0);
  for (const proof of ['outbound', 'inbound', 'DNS over UDP', 'DNS over TCP']) {
    t.match(good.stderr, new RegExp(`verify: IPv4 ${proof}: .* arrives at port`));
    t.match(good.stderr, new RegExp(`verify: IPv6 ${proof}: .* arrives at port`));
  }

  const only = ['--verify', '--skip-rule-apply', '--probe-timeout', '1s'];
  await net.iptables('v4', '-t', 'nat', '-D', 'OUTPUT', '-j', 'ISTIO_OUTPUT');
  const removed = await net.redirect(...only, ...WITH_DNS);
  t.equal(removed.code, 1);
  t.match(
    removed.stderr,
    /IPv4 outbound: a connection to 192\.0\.2\.1:15002 did not arrive at port 15001/,
  );
  t.match(
    removed.stderr,
    /IPv4 inbound: a connection to 127\.0\.0\.6:15002 did not arrive at port 15006/,
  );
  t.match(removed.stderr, /IPv6 outbound: .* arrives/);
  t.match(removed.stderr, /IPv4 rules: nat: OUTPUT has no jump and should have "-j ISTIO_OUTPUT"/);

  await net.redirect('--quiet');
  await net.iptables('v6', '-t', 'nat', '-D', 'PREROUTING', '-p', 'tcp', '-j', 'ISTIO_INBOUND');
  const outside = await net.redirect(...only);
  t.equal(outside.code, 1, 'no connection from here would show it');
  t.match(outside.stderr, /IPv6 rules: nat: PREROUTING has no jump/);

  await net.redirect('--quiet');
  await net.iptables('v4', '-t', 'nat', '-I', 'OUTPUT', '-p', 'tcp', '-j', 'ACCEPT');
  const ahead = await net.redirect('--verify', '--probe-timeout', '1s');
  t.equal(ahead.code, 1);
  t.match(
    ahead.stderr,
    /rules: OUTPUT has "-p tcp -j ACCEPT" before our jump, so nothing reaches it/,
  );
  t.match(
    ahead.stderr,
    /outbound: .* it is not redirected; OUTPUT has "-p tcp -j ACCEPT" before our jump/,
  );
  await net.iptables('v4', '-t', 'nat', '-D', 'OUTPUT', '-p', 'tcp', '-j', 'ACCEPT');

  await net.iptables('v4', '-t', 'nat', '-I', 'PREROUTING', '-j', 'ACCEPT');
  const inbound = await net.redirect('--verify');
  t.equal(inbound.code, 1, 'what comes from outside cannot be tried, but the rule is seen');
  t.match(inbound.stderr, /rules: PREROUTING has "-j ACCEPT" before our jump/);
  await net.iptables('v4', '-t', 'nat', '-D', 'PREROUTING', '-j', 'ACCEPT');

  const nothing = await net.redirect('--verify', '-i', '');
  t.equal(nothing.code, 0);
  t.match(nothing.stderr, /outbound: the settings leave no test address to redirect \(not tried\)/);
  t.match(nothing.stderr, /inbound: .* arrives/);

  const none = await net.redirect('--verify', '-i', '', '-c', 'lo');
  t.equal(none.code, 1);
  t.match(none.stderr, /nothing could be proven/);
});

inNamespaces(
  '[KI-02] --verify beside a sidecar that runs already, and as the sidecar itself',
  async (t, net) => {
    await net.answering(net.app, SIDECAR, 'sidecar', [
      'tcp/::/15001',
      'tcp/::/15006',
      'tcp/127.0.0.1/15053',
      'udp/127.0.0.1/15053',
    ]);
    const beside = await net.redirect('--verify', ...WITH_DNS);
    t.equal(beside.code, 0);
    t.match(
      beside.stderr,
      /IPv4 outbound: .* arrives at port 15001, where a sidecar listens already/,
    );
    t.match(
      beside.stderr,
      /IPv4 DNS over UDP: port 15053 is taken; a sidecar runs already \(not tried\)/,
    );
    const main = `${ROOT}/redirect/main.ts`;
    const user = ['--reuid=1337', '--regid=1337', '--clear-groups', process.execPath, main];
    const asSidecar = await net.run(net.app, 'setpriv', [...user, '--verify', '--skip-rule-apply']);
    t.equal(asSidecar.code, 0, asSidecar.stderr);
    t.match(asSidecar.stderr, /IPv4 rules: they cannot be read: .*ermission.* \(not tried\)/);
    t.match(asSidecar.stderr, /outbound: this process has the UID of the sidecar/);
    t.match(asSidecar.stderr, /IPv4 inbound: .* arrives at port 15006/);
  },
);

inNamespaces('[KI-02] runs at the same time leave one right state', async (t, net) => {
  const runs = await Promise.all(
    Array.from({ length: 4 }, (_, at) =>
      net.redirect('--quiet', ...(at % 2 === 0 ? [] : WITH_DNS)),
    ),
  );
  t.strictSame(
    runs.map(({ code, stderr }) => [code, stderr]),
    Array(4).fill([0, '']),
  );
  const jumps = ownLines(await net.saved('v4')).filter((line) =>
    /^-A (OUTPUT|PREROUTING) /.test(line),
  );
  t.equal(new Set(jumps).size, jumps.length, 'no jump stands twice');
  t.equal((await net.redirect('--quiet')).code, 0);
  t.equal(
    ownLines(await net.saved('v4')).filter((line) => line === '-A OUTPUT -j ISTIO_OUTPUT').length,
    1,
  );
});

inNamespaces('[KI-02] somebody who holds the name of the turn does not stop it', async (t, net) => {
  const hold = `require('node:net').createServer().listen({ path: '\\0weft-redirect' }, () => console.log('held')); setTimeout(() => process.exit(), 60000)`;
  const { spawn } = await import('node:child_process');
  const holder = spawn('ip', ['netns', 'exec', net.app, process.execPath, '-e', hold], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => void holder.kill('SIGKILL'));
  await new Promise((done) => holder.stdout.once('data', done));
  const { code, stderr } = await net.redirect();
  t.equal(code, 0);
  t.match(stderr, /another weft redirect holds its turn/);
  t.match(await net.saved('v4'), /ISTIO_OUTPUT/);
});

inNamespaces('[KI-02] no moment in which an app slips past while rules change', async (t, net) => {
  await net.answering(net.app, SIDECAR, 'sidecar', ['tcp/::/15001']);
  await net.answering(net.peer, APP, 'peer', ['tcp/::/8080']);
  await net.redirect('--quiet');
  const script = `
    const net = require('node:net');
    const seen = {};
    let stop = false;
    process.stdin.on('end', () => { stop = true; }).resume();
    const next = () => {
      if (stop) { process.stdout.write(JSON.stringify(seen)); process.exit(0); }
      const socket = net.connect({ host: '10.77.0.1', port: 8080 });
      socket.on('data', (chunk) => { const who = String(chunk).split(' ')[0]; seen[who] = (seen[who] ?? 0) + 1; });
      socket.on('error', (error) => { seen[error.code] = (seen[error.code] ?? 0) + 1; });
      socket.on('close', next);
    };
    for (let at = 0; at < 8; at++) next();
    process.stdout.write('\\n');`;
  const { spawn } = await import('node:child_process');
  const client = spawn('ip', ['netns', 'exec', net.app, process.execPath, '-e', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(() => void client.kill('SIGKILL'));
  let said = '';
  client.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const ended = new Promise((done) => client.once('close', done));
  for (const args of [['-o', '9000'], [...WITH_DNS], ['--force-apply'], ['-d', '22'], []]) {
    t.equal((await net.redirect('--quiet', '--no-ipv6', ...args)).code, 0);
  }
  client.stdin.end();
  await ended;
  const seen = JSON.parse(said) as Record<string, number>;
  t.strictSame(Object.keys(seen), ['sidecar:15001'], said);
  t.ok(seen['sidecar:15001']! > 50, said);
});

t.test('[KI-02] faults have an exit code and say what to do', async (t) => {
  const main = `${ROOT}/redirect/main.ts`;
  const usage = await runToEnd(process.execPath, [main, '-p', '0', '-m', 'TPROXY']);
  t.match(usage, { code: 64, stdout: '' });
  t.match(usage.stderr, /--outbound-port: "0" is not a port/);
  const none = await runToEnd(process.execPath, [main, '-m', 'NONE', '--dry-run']);
  t.match(none, { code: 0, stdout: '', stderr: /no rules would be written/ });
  const cli = await runToEnd(`${ROOT}/weft`, ['redirect', '--help']);
  t.match(cli, { code: 0, stdout: /^Usage: weft redirect/ });
  const wrong = await runToEnd(`${ROOT}/weft`, ['redirect', '--nothing']);
  t.match(wrong, { code: 64, stderr: /Unknown option '--nothing'/ });
  const noConf = await runToEnd(process.execPath, [
    main,
    '--dns',
    '--resolv-conf',
    '/nowhere',
    '-n',
  ]);
  t.match(noConf, { code: 1, stderr: /the nameservers cannot be read: .*\/nowhere/ });
});

inNamespaces('[KI-02] no iptables, no permission, no IPv6, no nat table, no ip', async (t, net) => {
  const noBinary = await net.redirectWith({ PATH: '' });
  t.match(noBinary, {
    code: 1,
    stderr: /iptables-restore is not in PATH.*apt-get install iptables/,
  });

  const main = `${ROOT}/redirect/main.ts`;
  const user = ['--reuid=1000', '--regid=1000', '--clear-groups', process.execPath, main];
  const forbidden = await net.run(net.app, 'setpriv', user);
  t.match(forbidden, { code: 1, stderr: /capability NET_ADMIN/ });

  const bin = join(directory, 'bin');
  const { mkdirSync } = await import('node:fs');
  mkdirSync(bin, { recursive: true });
  for (const name of [
    'iptables-nft-restore',
    'iptables-nft-save',
    'ip6tables-nft-restore',
    'ip6tables-nft-save',
  ]) {
    symlinkSync(`/usr/sbin/${name}`, join(bin, name));
  }
  const noIp = await net.redirectWith({ PATH: bin });
  t.match(noIp, {
    code: 1,
    stderr: /::6 cannot be put on lo: ip is not in PATH; install the package iproute2/,
  });

  const noNat = join(directory, 'no-nat');
  mkdirSync(noNat, { recursive: true });
  for (const name of ['iptables-nft-restore', 'iptables-nft-save'])
    symlinkSync(`/usr/sbin/${name}`, join(noNat, name));
  for (const name of ['ip6tables-nft-restore', 'ip6tables-nft-save']) {
    writeFileSync(
      join(noNat, name),
      '#!/bin/sh\necho "unable to initialize table \'nat\'" >&2\nexit 3\n',
      { mode: 0o755 },
    );
  }
  const noTable = await net.redirectWith({ PATH: noNat });
  t.match(noTable, { code: 0, stderr: /this kernel has no IPv6 nat table: rules for IPv4 alone/ });
  t.match(await net.redirectWith({ PATH: noNat }, '--ipv6', 'require'), {
    code: 1,
    stderr: /unable to initialize/,
  });

  await net.run(net.app, 'sysctl', ['-qw', 'net.ipv6.conf.all.disable_ipv6=1']);
  const noIpv6 = await net.redirect('--verify');
  t.match(noIpv6, { code: 0, stderr: /IPv6 is disabled here .*: rules for IPv4 alone/ });
  t.notMatch(await net.saved('v6'), /ISTIO_/);
  t.match(await net.redirect('--ipv6=require'), { code: 1, stderr: /IPv6 is disabled here/ });
  t.equal((await net.redirect('--cleanup')).code, 0);
  t.notMatch(await net.saved('v4'), /ISTIO_/);
});

inNamespaces(
  '[KI-02] the legacy backend, where nothing else is there or Docker keeps its rules in it',
  async (t, net) => {
    const works = inPath('iptables-legacy-restore')
      ? await net.run(net.app, 'iptables-legacy-restore', ['--test'], '*nat\nCOMMIT\n')
      : { code: 1 };
    if (works.code !== 0) {
      t.pass('no iptables-legacy here');
      return;
    }
    await net.run(net.app, 'iptables-legacy-restore', ['--noflush'], FOREIGN);
    const before = await net.saved('v4', 'legacy');
    const { code, stderr } = await net.redirect('--no-ipv6', ...WITH_DNS);
    t.equal(code, 0, stderr);
    t.match(stderr, /the nat table here is kept by iptables-legacy, so it is used too/);
    t.match(
      await net.saved('v4', 'legacy'),
      /-A OUTPUT -j ISTIO_OUTPUT\n-A OUTPUT -d 127\.0\.0\.11\/32 -j DOCKER_OUTPUT/,
    );
    t.match(
      (await net.redirect('--no-ipv6', '--verify', ...WITH_DNS)).stderr,
      /IPv4: nothing to do/,
    );
    t.equal((await net.redirect('--no-ipv6', '--cleanup')).code, 0);
    t.equal(await net.saved('v4', 'legacy'), before);
    // As the init container has it: legacy wants a lock file in /run.
    const readOnly = 'mount -t tmpfs none /run && mount -o remount,ro /run && exec "$@"';
    const main = [process.execPath, `${ROOT}/redirect/main.ts`, '--no-ipv6', ...WITH_DNS];
    const ran = await net.run(net.app, 'unshare', ['-m', 'sh', '-c', readOnly, 'sh', ...main]);
    t.match(ran, { code: 0, stderr: /rules written \(.*legacy-restore\)/ }, 'a read-only root');
    t.match(await net.saved('v4', 'legacy'), /-A OUTPUT -j ISTIO_OUTPUT/);
  },
);

inNamespaces(
  '[KI-02] a table that iptables cannot show is refused before anything is written',
  async (t, net) => {
    const nft = inPath('nft')
      ? await net.run(net.app, 'nft', ['-f', '-'], FOREIGN_NFT)
      : { code: 1 };
    if (nft.code !== 0) {
      t.pass('no nft here');
      return;
    }
    const before = await net.run(net.app, 'nft', ['list', 'ruleset']);
    const { code, stderr } = await net.redirect('--no-ipv6');
    t.equal(code, 1);
    t.match(stderr, /table nat holds rules made with nft that .*iptables-nft-save cannot show/);
    t.equal((await net.run(net.app, 'nft', ['list', 'ruleset'])).stdout, before.stdout);
  },
);

const FOREIGN_NFT = `table ip nat {
  chain PREROUTING {
    type nat hook prerouting priority -100; policy accept;
    tcp dport 9999 dnat to numgen random mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }
  }
}
`;

inNamespaces('[KI-02] killed at any moment, the next run makes it right', async (t, net) => {
  const main = `${ROOT}/redirect/main.ts`;
  for (let at = 0; at < 6; at++) {
    const words = at % 2 === 0 ? ['--capture-all-dns', '--drop-invalid'] : ['-o', '22'];
    const seconds = (0.15 + at * 0.06).toFixed(2);
    await net.run(net.app, 'timeout', ['-s', 'KILL', seconds, process.execPath, main, ...words]);
  }
  t.equal((await net.redirect('--quiet', '--verify', ...WITH_DNS)).code, 0);
  t.match((await net.redirect(...WITH_DNS)).stderr, /IPv4: nothing to do/);
});
