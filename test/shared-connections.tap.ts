import { connect as connectHttp2, createServer, type ServerHttp2Session } from 'node:http2';
import { type AddressInfo, connect, type Socket } from 'node:net';
import t from 'tap';
import { applyPolicy, deletePolicy, STRICT_MTLS } from './harness/apply-policy.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { eitherVersionApp, type Seen } from './harness/either-version-app.ts';
import { http2Get } from './harness/http2-get.ts';
import { type MeshResponse, viaProxy } from './harness/mesh-request.ts';
import { rawExchange } from './harness/raw-exchange.ts';
import { steadyLoad } from './harness/steady-load.ts';
import { until } from './harness/until.ts';
import { Workload } from './harness/workload.ts';

/**
 * Between two sidecars requests of any version share few mutual-TLS HTTP/2 connections (PR-06), and no request is lost
 * when a certificate is renewed, a sidecar drains, a policy or the endpoints change.
 */

t.setTimeout(220_000);

interface Tap {
  same(found: unknown, wanted: unknown, message: string): boolean;
}

/** Services of the same app, by what their ports declare, and what the app is asked in by callers of both versions. */
const SERVICES = [
  { service: 'echo', protocol: 'http', ofHttp1: '1.1', ofHttp2: '1.1' },
  { service: 'any', protocol: 'detect', ofHttp1: '1.1', ofHttp2: '2.0' },
  { service: 'grpc', protocol: 'http2', ofHttp1: '2.0', ofHttp2: '2.0' },
] as const;

t.test('sidecars before apps of HTTP/1.1 and HTTP/2', async (t) => {
  const controlPlane = await ControlPlane.start(
    ...['--workload-cert-ttl', '10s', '--access-log', '/dev/stdout'],
    ...['--access-log-encoding', 'JSON'],
  );
  const [app, other] = [await eitherVersionApp('one'), await eitherVersionApp('two')];
  const common = { appPort: app.port, drainTimeS: 5 };
  const [echo, any, grpc, client] = await Promise.all([
    ...SERVICES.map(({ service, protocol }) =>
      Workload.ready(controlPlane, { ...common, service, protocol }),
    ),
    Workload.ready(controlPlane),
  ] as [Promise<Workload>, Promise<Workload>, Promise<Workload>, Promise<Workload>]);
  const caller = connectHttp2(`http://127.0.0.1:${client.outboundPort}`);
  caller.on('error', () => {});
  t.teardown(async () => {
    caller.destroy();
    await Promise.all([echo, any, grpc, client].map((workload) => workload.stop()));
    await controlPlane.stop();
    await Promise.all([app.close(), other.close()]);
  });
  const get = async (service: string, headers = {}) => {
    const url = `http://${service}:9080/x`;
    return seenBy(await viaProxy(client.outboundPort, url, headers));
  };
  const getOverHttp2 = async (service: string) => seenBy(await http2Get(caller, `${service}:9080`));
  const load = (host = 'echo:9080') => steadyLoad(client.outboundPort, `http://${host}`);
  for (const { service } of SERVICES) {
    await until(`${service} to answer`, () => get(service).catch(() => undefined));
  }

  for (const { service, ofHttp1, ofHttp2 } of SERVICES) {
    t.test(`[PR-05] [PR-06] callers of ${service} share connections`, async (t) => {
      const all = await Promise.all([
        ...Array.from({ length: 64 }, async () => ['1.1', await get(service)] as const),
        ...Array.from({ length: 64 }, async () => ['2.0', await getOverHttp2(service)] as const),
      ]);
      for (const [version, asked] of [
        ['1.1', ofHttp1],
        ['2.0', ofHttp2],
      ]) {
        const versions = new Set(
          all.filter(([of]) => of === version).map(([, seen]) => seen.version),
        );
        t.same([...versions], [asked], `HTTP/${version} reaches the app as HTTP/${asked}`);
      }
      t.notOk(
        all.some(([, { headers }]) => 'x-weft-orig-proto' in headers),
        'the app is not told',
      );
      const open = await upstreamStat(client, service, 'upstream_cx_active');
      t.ok(open >= 1 && open <= 4, `${open} connections`);
      t.equal(
        await upstreamStat(client, service, 'upstream_cx_http1_total'),
        0,
        'none of HTTP/1.1',
      );
      t.equal(await upstreamStat(client, service, 'upstream_rq_active'), 0);
    });
  }

  t.test('[OB-01] both sidecars log and count what their side spoke', async (t) => {
    const id = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11';
    const { headers } = await get('echo', {
      'x-request-id': id,
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    });
    t.match(headers['traceparent'], /^00-0af7651916cd43dd8448eb211c80319c-/, 'one trace');
    t.match(
      headers['x-forwarded-client-cert'],
      /URI=spiffe:\/\/cluster.local\/ns\/default\/sa\/client/,
    );
    t.notOk(headers['x-envoy-peer-metadata'], 'peer metadata stays between the sidecars');
    const logged = (workload: Workload) =>
      until(`a line of ${workload.settings.workload}`, () =>
        workload.process.stdout.split('\n').find((line) => line.includes(id)),
      );
    t.match(JSON.parse(await logged(client)), { protocol: 'HTTP/1.1', response_code: 200 });
    t.match(JSON.parse(await logged(echo)), {
      protocol: 'HTTP/2',
      response_code: 200,
      requested_server_name: 'outbound_.9080_._.echo.default.svc.cluster.local',
    });
    for (const [reporter, workload, security] of [
      ['source', client, 'unknown'],
      ['destination', echo, 'mutual_tls'],
    ] as const) {
      const series = await until(`the ${reporter}'s count`, async () => {
        const text = await fetch(`http://${workload.settings.prometheus}/stats/prometheus`);
        return (await text.text())
          .split('\n')
          .find(
            (line) => line.startsWith('istio_requests_total{') && line.includes('"echo.default'),
          );
      });
      t.match(series, `reporter="${reporter}"`);
      t.match(series, 'source_workload="client"');
      t.match(series, 'source_principal="spiffe://cluster.local/ns/default/sa/client"');
      t.match(series, 'destination_workload="echo-v1"');
      t.match(series, 'destination_principal="spiffe://cluster.local/ns/default/sa/echo"');
      t.match(series, 'request_protocol="http"');
      t.match(series, `connection_security_policy="${security}"`);
    }
  });

  t.test(
    '[PR-09] a WebSocket has a connection of its own, and requests go on beside it',
    async (t) => {
      const before = await upstreamStat(client, 'echo', 'upstream_cx_total');
      const socket = await webSocket(client.outboundPort, 'echo:9080');
      t.teardown(() => socket.destroy());
      t.equal(await upstreamStat(client, 'echo', 'upstream_cx_http1_total'), 1);
      t.equal(await upstreamStat(client, 'echo', 'upstream_cx_total'), before + 1);
      const running = load();
      await until('requests beside it', () => running.made() > 100);
      t.equal(await echoed(socket, 'hello'), 'hello');
      const { failed } = await running.stop();
      t.same(failed, []);
      t.equal(await upstreamStat(client, 'echo', 'upstream_cx_http1_total'), 1);
    },
  );

  t.test('[A2.1] an app or a plain-text client that says it came from HTTP/2', async (t) => {
    const forged = { 'x-weft-orig-proto': 'HTTP/2' };
    for (const { service, ofHttp1 } of SERVICES) {
      const { version, headers } = await get(service, forged);
      t.equal(version, ofHttp1, `${service} is asked as ever`);
      t.notOk('x-weft-orig-proto' in headers, 'and is not told');
    }
    const { text } = await rawExchange(
      any.inboundPort,
      'GET / HTTP/1.1\r\nhost: any\r\nx-weft-orig-proto: HTTP/2\r\nconnection: close\r\n\r\n',
    );
    const seen = JSON.parse(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1)) as Seen;
    t.equal(seen.version, '1.1');
    t.notOk('x-weft-orig-proto' in seen.headers);
  });

  t.test('[D14] readers that stand still hold up nobody else on their connection', async (t) => {
    const readers = await Promise.all(
      Array.from({ length: 40 }, () => stoppedReader(client.outboundPort, 'echo:9080', 32_000_000)),
    );
    t.teardown(() => {
      for (const reader of readers) reader.destroy();
    });
    t.ok((await upstreamStat(client, 'echo', 'upstream_rq_active')) >= 40, 'none is complete');
    const asked = performance.now();
    for (let count = 0; count < 20; count++) t.equal((await get('echo')).app, 'one');
    const tookMs = performance.now() - asked;
    t.ok(tookMs < 15_000, `20 requests took ${tookMs.toFixed()} ms`);
    t.ok((await upstreamStat(client, 'echo', 'upstream_cx_active')) <= 4);
  });

  /** Acts under load; no request of it may fail. The WebSocket beside it must outlive what is done. */
  async function nothingLost(t: Tap, act: () => Promise<unknown>, host?: string): Promise<void> {
    const running = load(host);
    await until('the load to run', () => running.made() > 100);
    await act();
    const after = running.made();
    await until('the load to go on', () => running.made() > after + 100);
    const { made, failed } = await running.stop();
    t.same(failed.slice(0, 10), [], `${failed.length} of ${made} requests failed`);
  }

  t.test('[D24] renewed certificates of both sides cut nothing', async (t) => {
    const serials = async () => {
      const all = await Promise.all([client, echo].map((workload) => workload.admin('/certs')));
      return all.map((text) => /"serial_number": *"([0-9a-f]+)"/.exec(text)?.[1]);
    };
    const socket = await webSocket(client.outboundPort, 'echo:9080');
    t.teardown(() => socket.destroy());
    const opened = await upstreamStat(client, 'echo', 'upstream_cx_total');
    const first = await serials();
    t.notOk(first.includes(undefined), 'serial numbers are shown');
    await nothingLost(t, () =>
      until('new certificates', async () =>
        (await serials()).every((serial, index) => serial !== first[index]),
      ),
    );
    t.equal(await echoed(socket, 'still'), 'still');
    t.equal(await upstreamStat(client, 'echo', 'upstream_cx_total'), opened, 'no new connection');
  });

  t.test('[SC-02] [D24] from PERMISSIVE to STRICT and back', async (t) => {
    const plain = async () => {
      const request = 'GET / HTTP/1.1\r\nhost: echo\r\nconnection: close\r\n\r\n';
      return (await rawExchange(echo.inboundPort, request)).text;
    };
    await nothingLost(t, async () => {
      await applyPolicy(controlPlane, STRICT_MTLS);
      await until('plain text to be refused', async () => (await plain()) === '');
      const seen = await Promise.all(Array.from({ length: 64 }, () => get('echo')));
      t.ok(seen.every(({ version }) => version === '1.1'));
      await deletePolicy(controlPlane, 'PeerAuthentication', 'default');
      await until('plain text to be taken', async () => (await plain()).startsWith('HTTP/1.1 200'));
    });
    const open = await upstreamStat(client, 'echo', 'upstream_cx_active');
    t.ok(open <= 4, `${open} connections`);
  });

  t.test('[D19] [OP-05] a sidecar that drains, ends and comes back', async (t) => {
    const two = await Workload.ready(controlPlane, {
      ...{ service: 'echo', version: 'v2', appPort: other.port, drainTimeS: 5 },
    });
    t.teardown(() => two.stop());
    const both = () => until('two to serve', async () => (await get('echo')).app === 'two');
    await both();
    await nothingLost(t, async () => {
      t.equal(await two.process.stop(), 0);
      t.equal((await get('echo')).app, 'one');
      two.start();
      await two.untilReady();
      await both();
    });
    t.equal(await upstreamStat(client, 'echo', 'upstream_rq_active'), 0);
  });

  t.test('[D9] endpoints that go and come', async (t) => {
    await applyPolicy(controlPlane, PAIR);
    await applyPolicy(controlPlane, instance('a', 'echo', echo.inboundPort));
    const answers = async () => {
      const { status } = await viaProxy(client.outboundPort, 'http://pair.internal:9080/');
      return status === 200;
    };
    await until('the first instance', answers);
    await nothingLost(
      t,
      async () => {
        for (let round = 0; round < 3; round++) {
          await applyPolicy(controlPlane, instance('b', 'any', any.inboundPort));
          await endpoints(client, 'pair.internal', 2);
          await deletePolicy(controlPlane, 'WorkloadEntry', round === 1 ? 'a' : 'b');
          await endpoints(client, 'pair.internal', 1);
          if (round !== 1) continue;
          await applyPolicy(controlPlane, instance('a', 'echo', echo.inboundPort));
          await endpoints(client, 'pair.internal', 2);
        }
      },
      'pair.internal:9080',
    );
    const open = await upstreamStat(client, 'pair', 'upstream_cx_active');
    t.ok(open <= 4, `${open} connections`);
    t.equal(await upstreamStat(client, 'pair', 'upstream_cx_http1_total'), 0, 'all shared');
  });

  t.test(
    '[RFC 9113 §6.8] a server that refuses running streams by GOAWAY loses none',
    async (t) => {
      const server = await leavingServer();
      t.teardown(() => server.close());
      await applyPolicy(controlPlane, OUTSIDE(server.port));
      const url = 'http://outside.internal:9080';
      await until('an answer', async () => {
        return (await viaProxy(client.outboundPort, url)).status === 200;
      });
      const running = steadyLoad(client.outboundPort, url, 150, 0);
      await until('ten GOAWAYs', () => server.goaways() >= 10);
      const { made, failed } = await running.stop();
      t.same(failed.slice(0, 10), [], `${failed.length} of ${made} requests failed`);
    },
  );
});

/** An HTTP/2 server that takes 39 streams of each connection, and leaves the 40th and what follows to others by GOAWAY. */
async function leavingServer(): Promise<{ port: number; goaways: () => number; close(): void }> {
  const server = createServer();
  const sessions = new Set<ServerHttp2Session>();
  let goaways = 0;
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    session.on('error', () => {});
    let streams = 0;
    let isLeaving = false;
    session.on('stream', (stream) => {
      stream.on('error', () => {});
      if (isLeaving) return;
      if (++streams === 40) {
        isLeaving = true;
        goaways++;
        session.goaway(0, (stream.id ?? 0) - 2);
        session.close();
        return;
      }
      let bodyBytes = 0;
      stream.on('data', (chunk: Buffer) => {
        bodyBytes += chunk.length;
      });
      stream.on('end', () => {
        stream.respond({ ':status': 200 });
        stream.end(JSON.stringify({ bodyBytes }));
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    goaways: () => goaways,
    close: () => {
      for (const session of sessions) session.destroy();
      server.close();
    },
  };
}

const PAIR = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: pair}
spec:
  hosts: [pair.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: pair}}
`;

const instance = (name: string, serviceAccount: string, port: number) => `
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: ${name}}
spec:
  address: 127.0.0.1
  serviceAccount: ${serviceAccount}
  ports: {http: ${port}}
  labels: {app: pair, security.istio.io/tlsMode: istio}
`;

const OUTSIDE = (port: number) => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside}
spec:
  hosts: [outside.internal]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 9080, name: http2, protocol: HTTP2}]
  endpoints: [{address: 127.0.0.1, ports: {http2: ${port}}}]
`;

function seenBy({ status, body }: MeshResponse): Seen {
  if (status !== 200) throw new Error(`${status} ${body}`);
  return JSON.parse(body) as Seen;
}

/** Of the outbound clusters of a service, the sum of a statistic. */
async function upstreamStat(workload: Workload, service: string, name: string): Promise<number> {
  let sum = 0;
  for (const line of (await workload.admin('/stats')).split('\n')) {
    if (!line.startsWith('cluster.outbound|') || !line.includes(`|${service}.`)) continue;
    const [, value] = line.split(`.${name}: `);
    if (value !== undefined) sum += Number(value);
  }
  return sum;
}

/** Resolves when a sidecar knows so many endpoints of a host. */
async function endpoints(workload: Workload, host: string, count: number): Promise<void> {
  await until(`${count} endpoints of ${host}`, async () => {
    return (await upstreamStat(workload, host.split('.')[0]!, 'membership_total')) === count;
  });
}

/** A socket that has switched to WebSocket; what is sent over it comes back. */
function webSocket(proxyPort: number, authority: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(proxyPort, '127.0.0.1', () => {
      socket.write(
        `GET http://${authority}/chat HTTP/1.1\r\nhost: ${authority}\r\n` +
          'connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n' +
          'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      );
    });
    socket.on('error', reject);
    socket.once('data', (head: Buffer) => {
      const text = head.toString('latin1');
      if (text.startsWith('HTTP/1.1 101 ')) resolve(socket);
      else reject(new Error(text));
    });
  });
}

/** A request for `bytes` whose response is not read beyond its beginning. */
function stoppedReader(proxyPort: number, authority: string, bytes: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(proxyPort, '127.0.0.1', () => {
      socket.write(`GET http://${authority}/bytes/${bytes} HTTP/1.1\r\nhost: ${authority}\r\n\r\n`);
    });
    socket.on('error', reject);
    socket.once('data', () => {
      socket.pause();
      resolve(socket);
    });
  });
}

function echoed(socket: Socket, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once('data', (bytes: Buffer) => resolve(bytes.toString('latin1')));
    socket.once('close', () => reject(new Error('closed')));
    socket.write(text);
  });
}
