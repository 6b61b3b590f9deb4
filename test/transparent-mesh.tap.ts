import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { makeAuthority } from './certificates.ts';
import { applyPolicy, deletePolicy } from './harness/apply-policy.ts';
import type { Exchange } from './harness/namespace-app.ts';
import type { NamespaceApp } from './harness/namespace-app-client.ts';
import { type HostNamespace, namespacesMissing } from './harness/network-namespace.ts';
import { NodeProcess, ROOT } from './harness/node-process.ts';
import { residentBytes } from './harness/resident-bytes.ts';
import { TransparentMesh, type TransparentWorkload } from './harness/transparent-mesh.ts';
import { until } from './harness/until.ts';

/**
 * Hosts that are network namespaces, each with an app that was never told of a mesh, a sidecar under UID 1337 without
 * a capability, and the rules of `weft redirect`.
 */

t.setTimeout(220_000);

const VIP = '240.9.0.1';
const VIP_V6 = '2001:db8:9::1';
/** Shorter than the default, which is for people. */
const DETECTION_S = 1;

const VIRTUAL_ADDRESS = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: vip}
spec:
  hosts: [vip.internal]
  addresses: ["${VIP}", "${VIP_V6}"]
  resolution: STATIC
  location: MESH_INTERNAL
  workloadSelector: {labels: {app: web}}
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 7000, name: tcp, protocol: TCP}
`;

const peerAuthentication = (mode: string, portLevel = '') => `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  mtls: {mode: ${mode}}
  ${portLevel === '' ? '' : `portLevelMtls: ${portLevel}`}
`;

t.test('[TM-19] a mesh of redirected apps', { skip: namespacesMissing() }, async (t) => {
  const mesh = await TransparentMesh.start('--protocol-detection-timeout', `${DETECTION_S}s`);
  const { controlPlane } = mesh;
  t.teardown(() => mesh.close());
  const web = (name: string, version: string) =>
    mesh.workload(name, {
      service: 'web',
      version,
      ports: [
        { number: 80, protocol: 'http' },
        { number: 7000, protocol: 'tcp' },
        { number: 7100, protocol: 'tcp' },
        { number: 7200, protocol: 'tcp' },
        { number: 7300, protocol: 'tcp' },
        { number: 7400, protocol: 'tcp' },
        { number: 7600, protocol: 'tcp' },
        { number: 7500, protocol: 'unsaid' },
        { number: 3306, protocol: 'unsaid' },
        { number: 8443, protocol: 'tcp' },
      ],
    });
  const v1 = await web('web-v1', 'v1');
  const v2 = await web('web-v2', 'v2');
  const other = await mesh.workload('other', {
    service: 'other',
    registered: 'v6',
    ports: [
      { number: 80, protocol: 'http' },
      { number: 7000, protocol: 'tcp' },
    ],
  });
  const client = await mesh.workload('client');
  const outside = await mesh.outsider('outside');
  const authority = await makeAuthority();
  const appTls = await authority.issue({ dns: ['app.internal'] });

  await Promise.all([serveWeb(v1, 'v1'), serveWeb(v2, 'v2')]);
  await v1.app.tls({ port: 8443, key: appTls.privateKeyPem, cert: appTls.certificateChainPem });
  await v2.app.tcp({ port: 8443, service: 'echo' });
  await other.app.http({ port: 80, name: 'other' });
  await other.app.tcp({ port: 7000, service: 'server-first' });
  await outside.app.http({ port: 80, name: 'outside' });
  await outside.app.http({ port: 8080, name: 'outside' });
  await outside.app.tcp({ port: 9999, service: 'server-first' });
  await Promise.all([v1, v2, other, client].map((workload) => workload.untilReady()));
  await applyPolicy(controlPlane, VIRTUAL_ADDRESS);

  /** GET from the client's app, which knows nothing of a proxy. */
  const get = async (
    host: string,
    options: {
      name?: string;
      headers?: Record<string, string>;
      port?: number;
      from?: NamespaceApp;
    } = {},
  ) => {
    const { name = 'web', headers = {}, port = 80, from = client.app } = options;
    const reply = await from.request({ host, port, headers: { host: name, ...headers } });
    return {
      status: reply.status,
      seen: (reply.body.startsWith('{') ? JSON.parse(reply.body) : {}) as Seen,
    };
  };
  /** What the client's sidecar knows of both versions has arrived. */
  const endpoints = (cluster: string) =>
    client
      .admin('/clusters')
      .then(
        (text) =>
          text
            .split('\n')
            .filter(
              (line) => line.startsWith(`${cluster}::`) && line.includes('health_flags::healthy'),
            ).length,
      );
  await until(
    'endpoints of web, other and vip',
    async () =>
      (await endpoints('outbound|80||web.default.svc.cluster.local')) === 2 &&
      (await endpoints('outbound|7000||other.default.svc.cluster.local')) === 1 &&
      (await endpoints('outbound|7000||vip.internal')) === 2,
  );
  await until('the listeners of the addresses', async () => {
    const names = await client.admin('/config_dump?resource=dynamic_listeners');
    return (
      names.includes(`"${VIP}_7000"`) &&
      names.includes(`${v2.host.v4}_7000`) &&
      names.includes('0.0.0.0_80')
    );
  });

  t.test('the sidecar runs as UID 1337 without any capability', async (t) => {
    const status = readFileSync(`/proc/${client.sidecar.pid}/status`, 'utf8');
    t.match(status, /^Uid:\s+1337\s+1337\s+1337\s+1337$/m);
    for (const set of ['Prm', 'Eff', 'Bnd', 'Amb'])
      t.match(status, new RegExp(`^Cap${set}:\\s+0+$`, 'm'));
    t.notMatch(client.sidecar.output, /ExperimentalWarning/);
  });

  t.test('[SC-01] [OB-02] HTTP from app to app is mutual TLS with both principals', async (t) => {
    const { status, seen } = await get(v1.host.v4);
    t.equal(status, 200);
    t.equal(seen.peer, '127.0.0.6');
    t.match(
      seen.headers['x-forwarded-client-cert'],
      /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/client/,
    );
    const principals = [
      'source_principal="spiffe://cluster.local/ns/default/sa/client"',
      'destination_principal="spiffe://cluster.local/ns/default/sa/web"',
      'destination_service="web.default.svc.cluster.local"',
      'response_code="200"',
    ];
    const served = async () =>
      (await v1.metric(
        'istio_requests_total',
        'connection_security_policy="mutual_tls"',
        ...principals,
      )) +
      (await v2.metric(
        'istio_requests_total',
        'connection_security_policy="mutual_tls"',
        ...principals,
      ));
    await until(
      'both sides to count it',
      async () =>
        (await served()) >= 1 &&
        (await client.metric('istio_requests_total', 'reporter="source"', ...principals)) >= 1,
    );
  });

  t.test('IPv6 both ways: the app sees ::6', async (t) => {
    const { status, seen } = await get(other.host.v6, { name: 'other' });
    t.equal(status, 200);
    t.equal(seen.app, 'other');
    t.equal(seen.peer, '::6');
    t.equal(seen.local, other.host.v6);
    t.match(seen.headers['x-forwarded-client-cert'], /sa\/client/);
    const plain = await outside.app.request({ host: other.host.v6, port: 80 });
    t.equal((JSON.parse(plain.body) as Seen).peer, '::6');
    const opaque = await client.app.exchange({ host: other.host.v6, port: 7000, enough: 'ready' });
    t.equal(opaque.end, 'enough');
    const mapped = `::ffff:${v1.host.v4}`;
    const dual = await client.app.exchange({ host: mapped, port: 7000, send: 'x', end: true });
    t.equal(dual.text, 'x', 'IPv4 from a socket of both families');
    const unknown = await client.app.exchange({
      host: outside.host.v6,
      port: 9999,
      enough: 'ready',
    });
    t.equal(unknown.end, 'enough');
  });

  t.test('[TM-03] a VirtualService routes redirected requests', async (t) => {
    await applyPolicy(
      controlPlane,
      `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec:
  host: web
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web]
  http:
  - {match: [{headers: {x-user: {exact: two}}}], route: [{destination: {host: web, subset: v2}}]}
  - {route: [{destination: {host: web, subset: v1}}]}
`,
    );
    const app = async (user: string) =>
      (await get(v1.host.v4, { headers: { 'x-user': user } })).seen.app;
    // Balanced requests may alternate just so: each user several times in a row.
    await until('the route', async () => {
      const users = [...Array(6).fill('two'), ...Array(6).fill('one')];
      const apps: string[] = [];
      for (const user of users) apps.push(await app(user));
      return apps.join() === 'v2,v2,v2,v2,v2,v2,v1,v1,v1,v1,v1,v1';
    });
    for (let round = 0; round < 5; round++) {
      t.equal(await app('two'), 'v2');
      t.equal(await app('one'), 'v1');
    }
    await deletePolicy(controlPlane, 'VirtualService', 'web');
  });

  t.test(
    'two TCP services of one port are told apart by address, mutual TLS to each',
    async (t) => {
      const mutual = [
        'istio_tcp_connections_opened_total',
        'connection_security_policy="mutual_tls"',
      ];
      const before = await v1.metric(...mutual);
      const echo = await client.app.exchange({
        host: v1.host.v4,
        port: 7000,
        send: 'hello',
        end: true,
      });
      t.same([echo.end, echo.text], ['fin', 'hello']);
      const first = await client.app.exchange({ host: other.host.v6, port: 7000, enough: 'ready' });
      t.equal(first.text, '220 ready\n');
      t.equal((await v1.metric(...mutual)) - before, 1);
      for (const service of ['web', 'other']) {
        const host = `destination_service="${service}.default.svc.cluster.local"`;
        t.ok(
          await client.metric('istio_tcp_connections_opened_total', 'reporter="source"', host),
          service,
        );
      }
    },
  );

  t.test(
    '[LB-06] who dials one instance gets that one; who dials the virtual address, any',
    async (t) => {
      const counts = async () =>
        Promise.all(
          [v1, v2].map(async ({ app }) => (await app.served({ port: 7000 })).connections),
        );
      const dial = async (host: string) => {
        const { text } = await client.app.exchange({ host, port: 7000, send: 'x', end: true });
        t.equal(text, 'x');
      };
      const [one, two] = await counts();
      for (let round = 0; round < 10; round++) await dial(v2.host.v4);
      t.same(await counts(), [one, two! + 10]);
      for (let round = 0; round < 10; round++) await dial(v1.host.v4);
      t.same(await counts(), [one! + 10, two! + 10]);
      for (let round = 0; round < 40; round++) await dial(round % 2 === 0 ? VIP : VIP_V6);
      const [oneNow, twoNow] = await counts();
      t.ok(oneNow! > one! + 10 && twoNow! > two! + 10, `${oneNow} and ${twoNow}`);
      t.equal(oneNow! + twoNow!, one! + two! + 60);
    },
  );

  t.test('[TM-19] ALLOW_ANY passes on what nobody knows', async (t) => {
    const { end } = await client.app.exchange({
      host: outside.host.v4,
      port: 9999,
      enough: 'ready',
    });
    t.equal(end, 'enough');
    const { status, seen } = await get(outside.host.v4, { name: 'nobody.example' });
    t.equal(status, 200);
    t.same([seen.app, seen.peer], ['outside', client.host.v4]);
    const through = ['reporter="source"', 'destination_service_name="PassthroughCluster"'];
    t.ok(await client.metric('istio_tcp_connections_opened_total', ...through));
    t.ok(await client.metric('istio_requests_total', 'response_code="200"', ...through));
    const closed = await client.app.exchange({ host: outside.host.v4, port: 1, send: 'x' });
    t.ok(['reset', 'fin'].includes(closed.end), `nothing listens there: ${closed.end}`);
    t.equal(closed.bytes, 0);
  });

  t.test(
    "[SC-02] PERMISSIVE: plain text, mesh TLS and the app's own TLS on one port",
    async (t) => {
      const plain = await outside.app.exchange({
        host: v1.host.v4,
        port: 7000,
        send: 'plain',
        end: true,
      });
      t.same([plain.end, plain.text], ['fin', 'plain']);
      t.equal((await get(v1.host.v4, { from: outside.app })).status, 200);
      const tls = { host: v1.host.v4, port: 8443, tls: true, send: 'own', enough: 'own' };
      t.equal((await outside.app.exchange(tls)).text, 'own', 'through the declared port');
      t.equal((await client.app.exchange(tls)).text, 'own', 'inside mesh TLS');
      const undeclared = await outside.app.exchange({
        host: v1.host.v4,
        port: 9000,
        send: 'u',
        end: true,
      });
      t.same([undeclared.end, undeclared.text], ['fin', 'u']);
      const passthrough = [
        'reporter="destination"',
        'destination_service_name="InboundPassthroughCluster"',
      ];
      t.ok(await v1.metric('istio_tcp_connections_opened_total', ...passthrough));
      t.ok(
        await v1.metric('istio_tcp_connections_opened_total', 'connection_security_policy="none"'),
      );
    },
  );

  t.test(
    '[SC-02] STRICT ends plain text with no byte to the app; a port may be DISABLE',
    async (t) => {
      await applyPolicy(
        controlPlane,
        peerAuthentication('STRICT', '{"7000": {mode: DISABLE}, "7300": {mode: DISABLE}}'),
      );
      await until('STRICT in force', async () => {
        const answer = await outside.app.exchange({
          host: v1.host.v4,
          port: 80,
          send: GET,
          enough: 'HTTP/1.1',
        });
        return answer.bytes === 0;
      });
      for (const port of [80, 7100, 9000]) {
        const before = await v1.app.served({ port });
        const answer = await outside.app.exchange({ host: v1.host.v4, port, send: GET, end: true });
        t.same([answer.end, answer.bytes], ['reset', 0], `port ${port}`);
        t.same(await v1.app.served({ port }), before);
      }
      const ownTls = await outside.app.exchange({
        host: v1.host.v4,
        port: 8443,
        tls: true,
        send: 'x',
      });
      t.equal(ownTls.bytes, 0);
      t.equal((await get(v1.host.v4)).status, 200, 'mesh TLS');
      await until('the clients to know of DISABLE', async () => {
        const before = await v1.metric(
          'istio_tcp_connections_opened_total',
          'connection_security_policy="none"',
          'destination_service="web',
        );
        const { text } = await client.app.exchange({
          host: v1.host.v4,
          port: 7000,
          send: 'd',
          end: true,
        });
        return (
          text === 'd' &&
          (await v1.metric(
            'istio_tcp_connections_opened_total',
            'connection_security_policy="none"',
            'destination_service="web',
          )) > before
        );
      });
      const plain = await outside.app.exchange({
        host: v1.host.v4,
        port: 7000,
        send: 'd',
        end: true,
      });
      t.equal(plain.text, 'd', 'a port that is DISABLE takes plain text');
      const silent = { host: v1.host.v4, port: 7300, enough: 'ready' };
      const first = await outside.app.exchange(silent);
      t.ok(first.end === 'enough' && first.firstByteMs < DETECTION_S * 500, 'and waits for none');
      const refused = v1.admin('/stats?filter=tls_required');
      t.match(await refused, /tls_required\S*: [1-9]/);
      await deletePolicy(controlPlane, 'PeerAuthentication', 'web');
      await until(
        'PERMISSIVE again',
        async () =>
          (await get(v1.host.v4, { from: outside.app }).catch(() => null))?.status === 200,
      );
    },
  );

  t.test("the sidecar's own ports answer nobody, and it never calls itself", async (t) => {
    const accepted = async (workload: TransparentWorkload) => {
      const text = await workload.admin('/stats?filter=downstream_cx_total');
      return [...text.matchAll(/: (\d+)/g)].reduce((sum, [, value]) => sum + Number(value), 0);
    };
    const tries: [string, NamespaceApp, string][] = [
      ['from elsewhere', outside.app, v1.host.v4],
      ['from elsewhere, IPv6', outside.app, v1.host.v6],
      ['from a meshed app', client.app, v1.host.v4],
      ['from its own app', v1.app, v1.host.v4],
      ['from its own app, IPv6', v1.app, v1.host.v6],
      ['from its own app, loopback', v1.app, '127.0.0.1'],
    ];
    const before = await accepted(v1);
    for (const [who, app, host] of tries) {
      for (const port of [15_001, 15_006]) {
        const send = `GET http://${outside.host.v4}:8080/ HTTP/1.1\r\nhost: x\r\n\r\n`;
        const answer = await app.exchange({ host, port, send, timeoutMs: 8000 });
        t.ok(['fin', 'reset', 'refused'].includes(answer.end), `${who}, ${port}: ${answer.end}`);
        t.equal(answer.bytes, 0);
      }
    }
    // A neighbour that hands it packets for somebody else does not get there by it.
    outside.host.run(['ip', 'route', 'add', '192.0.2.1/32', 'via', v1.host.v4]);
    const relay = { host: '192.0.2.1', port: 80, send: GET, enough: 'HTTP/1.1 ' };
    t.match((await outside.app.exchange(relay)).text, /^HTTP\/1\.1 503 /);
    const loops = (await accepted(v1)) - before;
    t.ok(loops <= 2 * tries.length * 2, `${loops} connections accepted`);
  });

  t.test(
    'an app reaches its own service by the virtual address, and itself by its own',
    async (t) => {
      const apps = new Set<string>();
      await until('both instances', async () => {
        const { status, seen } = await get(VIP, { name: 'vip.internal', from: v1.app });
        t.equal(status, 200);
        apps.add(seen.app);
        if (seen.app === 'v1') t.equal(seen.peer, '127.0.0.6');
        return apps.size === 2;
      });
      const own = await get(v1.host.v4, { from: v1.app });
      t.same(
        [own.status, own.seen.app, own.seen.peer],
        [200, 'v1', v1.host.v4],
        'past the sidecar',
      );
    },
  );

  t.test('[PR-11] an end is passed on as an end, in both directions', async (t) => {
    const up = await client.app.exchange({
      host: v1.host.v4,
      port: 7100,
      fill: 300_000,
      end: true,
    });
    t.equal(up.end, 'fin');
    t.match(up.text, /^300000 [0-9a-f]{64}$/);
    const down = await client.app.exchange({ host: v1.host.v4, port: 7200, send: '00300000' });
    t.same([down.end, down.bytes], ['fin', 300_000]);
    const cut = await client.app.exchange({ host: v1.host.v4, port: 7600, send: 'x' });
    const reset = ['reset', 'partial'];
    t.same([cut.end, cut.text], reset, 'and a reset as a reset, mutual TLS between');
  });

  t.test(
    '[PR-02] [PR-03] a server that speaks first is waited for only where the protocol is not said',
    async (t) => {
      const first = (port: number, app = client.app): Promise<Exchange> =>
        app.exchange({ host: v1.host.v4, port, enough: 'ready' });
      const [declared, unsaid, wellKnown] = [
        await first(7300),
        await first(7500),
        await first(3306),
      ];
      for (const answer of [declared, unsaid, wellKnown]) t.equal(answer.text, '220 ready\n');
      t.ok(unsaid.firstByteMs > DETECTION_S * 900, `not said: ${unsaid.firstByteMs} ms`);
      t.ok(declared.firstByteMs < unsaid.firstByteMs / 2, `declared: ${declared.firstByteMs} ms`);
      t.ok(
        wellKnown.firstByteMs < unsaid.firstByteMs / 2,
        `port 3306: ${wellKnown.firstByteMs} ms`,
      );
      const spoken = await client.app.exchange({
        host: v1.host.v4,
        port: 7500,
        send: 'EHLO x\n',
        enough: 'EHLO',
      });
      t.ok(spoken.firstByteMs < unsaid.firstByteMs / 2, 'a client that speaks is not held up');
    },
  );

  t.test(
    '128 MiB against a reader that reads nothing: bounded memory, then all of it',
    async (t) => {
      const total = 128 * 1024 * 1024;
      const memory = () => [client, v1].map(({ sidecar }) => residentBytes(sidecar.pid, 'RssAnon'));
      const before = memory();
      const transfer = client.app.exchange({
        host: v1.host.v4,
        port: 7400,
        fill: total,
        end: true,
        timeoutMs: 60_000,
      });
      // Nothing more is sent, and no more is held: give or take what a collector does.
      let sent = '';
      let heldBytes = 0;
      let same = 0;
      await until('the transfer to stall', async () => {
        const stats = await client.admin('/stats?filter=upstream_cx_tx_bytes_total');
        const now = stats
          .split('\n')
          .filter((line) => line.includes('|7400|'))
          .join();
        const bytes = memory().reduce((sum, each) => sum + each, 0);
        const isStill = now === sent && Math.abs(bytes - heldBytes) < 2 * 1024 * 1024;
        if (!isStill) heldBytes = bytes;
        sent = now;
        same = isStill ? same + 1 : 0;
        return same >= 15;
      });
      const stalled = memory();
      const grown = stalled.map((bytes, at) => bytes - before[at]!);
      for (const bytes of grown) t.ok(bytes < total / 4, `grew by ${bytes >> 20} MiB`);
      await v1.app.resume({ port: 7400 });
      const { end, text } = await transfer;
      t.same([end, text], ['fin', String(total)]);
    },
  );

  t.test('[DS-04] the health of the app is asked past the rules', async (t) => {
    const late = await mesh.workload('late', {
      service: 'late',
      probe: 'tcp',
      ports: [{ number: 80, protocol: 'http' }],
    });
    await late.untilReady();
    const cluster = 'outbound|80||late.default.svc.cluster.local';
    await until('the unhealthy endpoint', async () =>
      (await client.admin('/clusters'))
        .split('\n')
        .some((line) => line.startsWith(`${cluster}::`) && /health_flags::\/failed/.test(line)),
    );
    await late.app.http({ port: 80, name: 'late' });
    await until('the healthy endpoint', async () => (await endpoints(cluster)) === 1);
    t.equal((await get(late.host.v4, { name: 'late' })).seen.app, 'late');
  });

  t.test('a sidecar that was killed fails closed, and serves again after its start', async (t) => {
    await client.killHard();
    const out = await client.app.exchange({
      host: v1.host.v4,
      port: 7000,
      send: 'x',
      timeoutMs: 5000,
    });
    t.same([out.end, out.bytes], ['refused', 0]);
    const unknown = await client.app.exchange({
      host: outside.host.v4,
      port: 9999,
      timeoutMs: 5000,
    });
    t.same([unknown.end, unknown.bytes], ['refused', 0], 'not past the sidecar either');
    client.startSidecar();
    await client.untilReady();
    await until('service', async () => (await get(v1.host.v4).catch(() => null))?.status === 200);
    await v1.killHard();
    const direct = await outside.app.exchange({
      host: v1.host.v4,
      port: 80,
      send: GET,
      timeoutMs: 5000,
    });
    t.same([direct.end, direct.bytes], ['refused', 0]);
    v1.startSidecar();
    await v1.untilReady();
    await until(
      'service',
      async () => (await get(VIP, { name: 'vip.internal' }).catch(() => null))?.status === 200,
    );
  });

  t.test(
    '[I7] the control plane may die; [TM-19] REGISTRY_ONLY comes with its next start',
    async (t) => {
      await controlPlane.killHard();
      for (let round = 0; round < 5; round++) t.equal((await get(v1.host.v4)).status, 200);
      const detection = ['--protocol-detection-timeout', `${DETECTION_S}s`];
      await controlPlane.restart('--outbound-traffic-policy', 'REGISTRY_ONLY', ...detection);
      await until(
        'REGISTRY_ONLY',
        async () => (await get(outside.host.v4, { name: 'nobody.example' })).status === 502,
      );
      const ended = await client.app.exchange({
        host: outside.host.v4,
        port: 9999,
        timeoutMs: 5000,
      });
      t.equal(ended.bytes, 0);
      t.ok(['fin', 'reset'].includes(ended.end), ended.end);
      t.ok(
        await client.metric(
          'istio_tcp_connections_opened_total',
          'reporter="source"',
          'destination_service_name="BlackHoleCluster"',
        ),
      );
      t.ok(await client.metric('istio_requests_total', 'reporter="source"', 'response_code="502"'));
      const { connections } = await outside.app.served({ port: 9999 });
      await client.app.exchange({ host: outside.host.v4, port: 9999, timeoutMs: 5000 });
      t.equal((await outside.app.served({ port: 9999 })).connections, connections);
      await until(
        'the mesh again',
        async () => (await get(v1.host.v4).catch(() => null))?.status === 200,
      );
      const echo = await client.app.exchange({
        host: v2.host.v4,
        port: 7000,
        send: 'x',
        end: true,
      });
      t.equal(echo.text, 'x');
    },
  );
});

t.test('a runtime that cannot read original destinations is told of at the start', async (t) => {
  const metadata = { WEFT_MODE: 'redirect' };
  const bootstrap = JSON.stringify({ node: { id: 'x', cluster: 'x', metadata } });
  const args = [join(ROOT, 'proxy/main.ts'), '--config-yaml', bootstrap];
  const proxy = new NodeProcess(['--no-experimental-ffi', ...args]);
  t.equal(await proxy.exited, 1);
  t.match(proxy.stderr, /original destination of redirected connections cannot be read: node:ffi/);
});

const GET = 'GET / HTTP/1.1\r\nhost: web\r\n\r\n';

interface Seen {
  readonly app: string;
  readonly peer: string;
  readonly local: string;
  readonly headers: Readonly<Record<string, string>>;
}

async function serveWeb(
  { app }: { app: NamespaceApp; host: HostNamespace },
  name: string,
): Promise<void> {
  await app.http({ port: 80, name });
  await app.tcp({ port: 7000, service: 'echo' });
  await app.tcp({ port: 7100, service: 'digest' });
  await app.tcp({ port: 7200, service: 'source' });
  await app.tcp({ port: 7300, service: 'server-first' });
  await app.tcp({ port: 7400, service: 'stalled' });
  await app.tcp({ port: 7600, service: 'reset' });
  await app.tcp({ port: 7500, service: 'server-first' });
  await app.tcp({ port: 3306, service: 'server-first' });
  await app.tcp({ port: 9000, service: 'echo' });
}
