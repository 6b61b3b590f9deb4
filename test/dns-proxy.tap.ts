import { execFile, spawnSync } from 'node:child_process';
import { Resolver } from 'node:dns/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { freePorts } from '../cli/run/free-port.ts';
import { applyPolicy, deletePolicy } from './harness/apply-policy.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { echoApp } from './harness/echo-app.ts';
import { startNameServer } from './harness/name-server.ts';
import { APP_USER, namespacesMissing } from './harness/network-namespace.ts';
import { ROOT } from './harness/node-process.ts';
import { TransparentMesh } from './harness/transparent-mesh.ts';
import { until } from './harness/until.ts';
import { Workload } from './harness/workload.ts';

/** Names of the mesh asked for by real resolvers: node:dns, dig, the C library in a redirected network namespace. */

t.setTimeout(220_000);

const noDig = spawnSync('dig', ['-v']).error === undefined ? false : 'no dig here';
const REVIEWS = 'reviews.default.svc.cluster.local';

const ENTRY = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db}
spec:
  hosts: [db.outside.example]
  resolution: DNS
  ports: [{number: 5432, name: tcp, protocol: TCP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild}
spec:
  hosts: ["*.wild.example"]
  addresses: [10.9.9.9]
  resolution: NONE
  ports: [{number: 443, name: tls, protocol: TLS}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: many}
spec:
  hosts: [many.example.com]
  addresses: [${Array.from({ length: 60 }, (_, n) => `10.8.0.${n}`)}]
  resolution: NONE
  ports: [{number: 80, name: http, protocol: HTTP}]
`;

t.test('[DS-05] a sidecar answers its app’s questions', async (t) => {
  const controlPlane = await ControlPlane.start();
  const nameServer = await startNameServer('127.0.0.1', 0);
  const app = await echoApp('one');
  const [dnsPort] = await freePorts(1);
  const upstream = `127.0.0.1:${nameServer.port}`;
  const metadata = { WEFT_DNS: `127.0.0.1:${dnsPort}`, WEFT_DNS_UPSTREAM: upstream };
  const [reviews, client] = await Promise.all([
    Workload.ready(controlPlane, { service: 'reviews', appPort: app.port }),
    Workload.ready(controlPlane, { metadata, keepState: true }),
  ]);
  t.teardown(async () => {
    await Promise.all([reviews.stop(), client.stop()]);
    await controlPlane.stop();
    await nameServer.close();
    await app.close();
  });
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  resolver.setServers([`127.0.0.1:${dnsPort}`]);
  // Not spawnSync: the name server is in this process.
  const dig = async (...args: string[]): Promise<string> => {
    const at = ['@127.0.0.1', '-p', String(dnsPort), '+tries=2', '+time=3'];
    const done = promisify(execFile)('dig', [...at, ...args]).catch((failed: unknown) => failed);
    return ((await done) as { stdout: string }).stdout;
  };
  const addressOf = (name: string): Promise<readonly string[] | false> =>
    resolver.resolve4(name).catch(() => false as const);
  await applyPolicy(controlPlane, ENTRY);
  await until('the names', async () => {
    const [vip] = (await addressOf('db.outside.example')) || [''];
    return (await addressOf('reviews')) && vip!.startsWith('240.240.');
  });

  t.test(
    '[DS-05] node:dns: short and long names, the missing family, names that are none',
    async (t) => {
      const askedBefore = nameServer.asked.length;
      const [vip] = await resolver.resolve4('reviews');
      t.match(vip, /^240\.240\./);
      for (const name of ['reviews.default', 'reviews.default.svc', REVIEWS, 'REVIEWS']) {
        t.same(await resolver.resolve4(name), [vip], name);
      }
      t.same(await resolver.resolve4('reviews', { ttl: true }), [{ address: vip, ttl: 30 }]);
      await t.rejects(resolver.resolve6('reviews'), { code: 'ENODATA' });
      await t.rejects(resolver.resolveTxt('reviews'), { code: 'ENODATA' });
      await t.rejects(resolver.resolve4('nobody.example'), { code: 'ENOTFOUND' });
      t.same(await resolver.resolve4('www.outside.example'), ['198.51.100.9']);
      t.same(await resolver.resolve4('x.y.wild.example'), ['10.9.9.9']);
      t.match(await resolver.resolveSrv(`_http-9080._tcp.${REVIEWS}`), [
        { name: REVIEWS, port: 9080, priority: 0, weight: 100 },
      ]);
      t.notOk(nameServer.asked.slice(askedBefore).some((each) => each.includes('reviews')));
    },
  );

  t.test(
    '[DS-06] hosts outside have an address of their own, the same for every sidecar',
    async (t) => {
      const { out } = await controlPlane.weft('get', 'serviceentry', 'db', '-o', 'json');
      const { status } = JSON.parse(out) as { status: { addresses: { value: string }[] } };
      t.same(await resolver.resolve4('db.outside.example'), [status.addresses[0]!.value]);
    },
  );

  t.test('[DS-05] dig: flags, EDNS, truncation and TCP', { skip: noDig }, async (t) => {
    const plain = await dig('reviews');
    t.match(plain, /status: NOERROR/);
    t.match(plain, /flags: qr aa rd ra/);
    t.match(plain, /^reviews\.\s+30\s+IN\s+A\s+240\.240\./m);
    t.match(plain, /EDNS: version: 0/);
    t.notMatch(plain, /malformed|WARNING|mismatch/i);
    t.match(await dig('reviews', 'AAAA'), /status: NOERROR[\s\S]*ANSWER: 0/);
    const cut = await dig('many.example.com', '+noedns', '+ignore');
    t.match(cut, /flags: qr aa tc/);
    // Without +ignore it comes again over TCP by itself.
    t.match(await dig('many.example.com', '+noedns'), /ANSWER: 60,[\s\S]*\(TCP\)/);
    t.match(await dig('many.example.com', '+bufsize=4096'), /ANSWER: 60,[\s\S]*\(UDP\)/);
    t.match(await dig('long.outside.example', '+noedns', '+ignore'), /flags: qr tc/);
    t.match(await dig('long.outside.example', '+tcp'), /ANSWER: 60,/);
    t.match(await dig('nobody.example'), /status: NXDOMAIN/);
    t.match(await dig('reviews', '+edns=1', '+noednsneg'), /status: BADVERS/);
    t.match(await dig('reviews', '+opcode=notify'), /status: NOTIMP/);
    t.match(await dig('reviews', 'AXFR', '+tcp'), /Transfer failed|REFUSED/);
    t.match(await dig('-x', '240.240.0.7'), /status: NXDOMAIN/);
    if ((await dig('@::1', 'reviews')) !== '')
      t.match(await dig('@::1', 'reviews'), /status: NOERROR/);
  });

  t.test('[DS-05] metrics and the table itself are at the admin port', async (t) => {
    const page = await client.admin('/stats/prometheus');
    t.match(page, /^istio_agent_dns_requests_total [1-9]/m);
    t.match(page, /^istio_agent_dns_upstream_requests_total [1-9]/m);
    t.match(page, /^istio_agent_dns_upstream_request_duration_seconds_count [1-9]/m);
    const { configs } = JSON.parse(await client.admin('/config_dump')) as {
      configs: { '@type': string; table?: Record<string, { ips: string[] }> }[];
    };
    const names = configs.find((each) => each['@type'].endsWith('.NameTable'));
    t.same(names?.table?.[REVIEWS]?.ips, await resolver.resolve4('reviews'));
    t.match((await controlPlane.weft('proxy-status', '-o', 'json')).out, /"NDS"/);
  });

  t.test(
    '[OP-01] the names outlive the control plane, and the sidecar’s own restart without it',
    async (t) => {
      const before = await resolver.resolve4('reviews');
      await controlPlane.killHard();
      t.same(await resolver.resolve4('reviews'), before);
      await client.killHard();
      client.start();
      await until('the names from the disk', () => addressOf('reviews'));
      t.same(await resolver.resolve4('reviews'), before);
      await controlPlane.restart();
      await until('the sidecar to be back', async () =>
        (await controlPlane.weft('proxy-status')).out.includes('client.default'),
      );
      t.same(await resolver.resolve4('reviews'), before, 'the same address from the control plane');
      await deletePolicy(controlPlane, 'ServiceEntry', 'db');
      // No longer a name of the mesh: what its name server says holds.
      await until('the name to go', async () => {
        const [address] = (await addressOf('db.outside.example')) || [''];
        return address === '198.51.100.9';
      });
    },
  );
});

t.test('[DS-05] an app in a redirected namespace', { skip: namespacesMissing() }, async (t) => {
  const mesh = await TransparentMesh.start();
  t.teardown(() => mesh.close());
  const { host: outside } = await mesh.outsider('outside');
  outside.spawn([process.execPath, join(ROOT, 'test/harness/name-server.ts'), outside.v4, '53'], {
    stdio: 'ignore',
  });
  const reviews = await mesh.workload('reviews-v1', {
    service: 'reviews',
    ports: [
      { number: 9080, protocol: 'http' },
      { number: 7000, protocol: 'tcp' },
    ],
  });
  await reviews.app.http({ port: 9080, name: 'reviews' });
  await reviews.app.tcp({ port: 7000, service: 'server-first' });
  const client = await mesh.workload('client', {
    metadata: { DNS_CAPTURE: 'true' },
    redirectFlags: ['--redirect-dns'],
    resolvConf: `nameserver ${outside.v4}\nsearch default.svc.cluster.local svc.cluster.local\noptions ndots:5\n`,
  });
  await Promise.all([reviews.untilReady(), client.untilReady()]);
  /** A program of the app: it knows nothing of a mesh. */
  const run = (...program: string[]): string => {
    const [command, ...args] = client.host.command(program, APP_USER);
    return spawnSync(command, args, { encoding: 'utf8', timeout: 30_000 }).stdout.trim();
  };
  const getent = (name: string): string[] => run('getent', 'ahostsv4', name).split(/\s+/);
  await until('the name', () => getent('reviews')[0]?.startsWith('240.240.'));
  const vip = getent('reviews')[0]!;

  t.test(
    'the C library and node find names of the mesh, and others by their own name server',
    (t) => {
      for (const name of ['reviews', 'reviews.default', REVIEWS])
        t.equal(getent(name)[0], vip, name);
      const lookup = `require('node:dns').lookup('reviews', { family: 4 }, (e, a) => console.log(e ?? a))`;
      t.equal(run(process.execPath, '-e', lookup), vip);
      t.equal(getent('www.outside.example')[0], '198.51.100.9');
      t.same(getent('nobody.example'), ['']);
      t.end();
    },
  );

  t.test('both families are answered, as the host has both', (t) => {
    t.match(run('getent', 'ahostsv6', 'reviews'), /^2001:2::/);
    t.end();
  });

  t.test('over TCP too', { skip: noDig }, (t) => {
    const out = run('dig', '+tcp', '+short', `@${outside.v4}`, 'reviews');
    t.equal(out, vip);
    t.end();
  });

  t.test('a name server at an IPv6 address', async (t) => {
    const program = join(ROOT, 'test/harness/name-server.ts');
    outside.spawn([process.execPath, program, outside.v6, '53'], { stdio: 'ignore' });
    const other = await mesh.workload('client6', {
      metadata: { DNS_CAPTURE: 'true' },
      redirectFlags: ['--redirect-dns'],
      resolvConf: `nameserver ${outside.v6}\n`,
    });
    await other.untilReady();
    const [command, ...args] = other.host.command(['getent', 'ahostsv4'], APP_USER);
    const found = (name: string) =>
      spawnSync(command, [...args, name], { encoding: 'utf8', timeout: 30_000 }).stdout;
    t.ok(found('reviews').startsWith(vip));
    await until('the name server', () => found('www.outside.example').startsWith('198.51.100.9'));
  });

  t.test(
    'a sidecar whose own questions are redirected to it says so, and does not go round',
    { skip: noDig },
    async (t) => {
      const wrong = await mesh.workload('wrong', {
        metadata: { DNS_CAPTURE: 'true' },
        redirectFlags: ['--redirect-dns', '-u', '4242', '-g', '4242', '-i', ''],
        resolvConf: `nameserver ${outside.v4}\n`,
      });
      await wrong.untilReady();
      const dig = ['dig', '+tcp', '+tries=1', `@${outside.v4}`, 'www.outside.example'];
      const [command, ...args] = wrong.host.command(dig, APP_USER);
      const { stdout } = spawnSync(command, args, { encoding: 'utf8', timeout: 30_000 });
      t.match(stdout, /status: SERVFAIL/);
      await until('the warning', () => wrong.sidecar.output.includes('came back to it'));
      // dig's own, and the one that came back, once or, where the one server is asked again, twice.
      t.match(await wrong.admin('/stats/prometheus'), /^istio_agent_dns_requests_total [23]$/m);
    },
  );

  t.test('[DS-06] a connection to the address reaches the service, over mutual TLS', async (t) => {
    const tcp = await client.app.exchange({ host: vip, port: 7000, send: 'x', enough: 'x' });
    t.match(tcp.text, /^220 ready/);
    const byName = await client.app.exchange({
      host: 'reviews',
      port: 7000,
      send: 'x',
      enough: 'x',
    });
    t.match(byName.text, /^220 ready/);
    const http = await client.app.request({ host: 'reviews', port: 9080, path: '/' });
    t.equal(http.status, 200);
    t.equal(JSON.parse(http.body).app, 'reviews');
    const direct = await client.app.request({
      host: vip,
      port: 9080,
      path: '/',
      headers: { host: vip },
    });
    t.equal(JSON.parse(direct.body).app, 'reviews', 'by the bare address');
    t.ok(
      (await reviews.metric('istio_tcp_connections_opened_total', 'mutual_tls')) > 0,
      'the server saw mutual TLS',
    );
  });
});
