import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  type IssuedCertificate,
  makeAuthority,
  type TestAuthority,
} from '../../test/certificates.ts';
import { ManualClock } from '../tcp/manual-clock.testing.ts';
import { TimerLists } from '../tcp/timer-list.ts';
import type { UpstreamTlsConfig } from '../tls/tls-config.ts';
import {
  answering,
  clusterConfig,
  clusterManager,
  endpointConfig,
  getRequest,
  loopback,
  NO_CONTEXT,
  RecordingSink,
  RecordingTunnel,
} from './cluster.testing.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { DnsResolver } from './dns-resolver.ts';
import type { LiveCluster } from './live-cluster.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function setup(deps: Parameters<typeof clusterManager>[0] = {}) {
  const made = clusterManager(deps);
  cleanups.push(() => made.manager.close());
  return made;
}

async function get(cluster: LiveCluster, originalDestination = ''): Promise<RecordingSink> {
  const sink = new RecordingSink();
  const endpoint = cluster.pickEndpoint({ ...NO_CONTEXT, originalDestination });
  if (endpoint === null) throw new Error('no endpoint');
  cluster.openStream(endpoint, getRequest(), true, sink);
  await sink.outcome;
  return sink;
}

const addresses = (cluster: LiveCluster) => cluster.endpoints.map(({ address }) => address);

describe('LiveClusterManager', () => {
  test('an unchanged endpoint keeps its connections and counters through updates', async () => {
    const server = await loopback(answering('ok'));
    cleanups.push(() => server.close());
    const { manager } = setup();
    manager.setCluster(clusterConfig([{ port: server.port }], { discovery: 'EDS' }));
    const cluster = manager.get('test')!;
    const assign = (version: string, ...endpoints: ReturnType<typeof endpointConfig>[]) =>
      manager.setAssignment('test', { version, endpoints });
    assign('1', endpointConfig({ port: server.port }));
    await get(cluster);
    const [before] = cluster.endpoints;
    assign('2', endpointConfig({ port: server.port, weight: 7 }), endpointConfig({ port: 9 }));
    manager.setCluster(clusterConfig([], { discovery: 'EDS', lbPolicy: 'RANDOM', version: '2' }));
    expect(manager.get('test')).toBe(cluster);
    expect(cluster.endpoints[0]).toBe(before);
    expect(before).toMatchObject({ weight: 7, requestsTotal: 1, connectionsActive: 1 });
    assign('3', endpointConfig({ port: server.port }));
    await get(cluster);
    expect(server.connections).toBe(1);
    expect(cluster.updates.membershipChange.value).toBe(3);
  });

  test('[RS-19] a new configuration holds for the endpoints that are known, and counts as an update', () => {
    const { manager } = setup();
    const config = (panicThresholdPercent: number) =>
      clusterConfig([], { discovery: 'EDS', panicThresholdPercent });
    manager.setCluster(config(0));
    const cluster = manager.get('test')!;
    manager.setAssignment('test', {
      version: '1',
      endpoints: [endpointConfig({ health: 'UNHEALTHY' })],
    });
    expect(cluster.pickEndpoint(NO_CONTEXT)).toBeNull();
    const [known] = cluster.endpoints;
    manager.setCluster(config(50));
    expect(cluster.pickEndpoint(NO_CONTEXT)).toBe(known);
    expect(cluster.updates.updateSuccess.value).toBe(2);
    expect(cluster.updates.membershipChange.value).toBe(1);
  });

  test('an EDS cluster is warm when its assignment has come, in either order', async () => {
    const { manager } = setup();
    const order: string[] = [];
    manager.setCluster(clusterConfig([], { name: 'a', discovery: 'EDS', edsServiceName: 'a' }));
    const warmed = manager.warm('a').then(() => order.push('warm'));
    await Promise.resolve();
    order.push('assigned');
    manager.setAssignment('a', { version: '1', endpoints: [endpointConfig()] });
    await warmed;
    expect(order).toEqual(['assigned', 'warm']);
    manager.setAssignment('b', { version: '1', endpoints: [endpointConfig()] });
    manager.setCluster(clusterConfig([], { name: 'b', discovery: 'EDS', edsServiceName: 'b' }));
    await manager.warm('b');
    expect(manager.get('b')!.pickEndpoint(NO_CONTEXT)).not.toBeNull();
  });

  test('a removed cluster is gone, its series too, and who waits is let go', async () => {
    const { manager, deps } = setup();
    manager.setCluster(clusterConfig([], { discovery: 'EDS' }));
    const warm = manager.warm('test');
    const names = () => [...deps.stats.series()].map(([, { dotted }]) => dotted);
    expect(names()).toContain('cluster.test.upstream_rq_total');
    manager.removeCluster('test');
    await warm;
    expect(manager.get('test')).toBeUndefined();
    expect(names().filter((name) => name.startsWith('cluster.'))).toEqual([]);
  });

  test('[OB-06] membership and connections are in the registry under the names that Envoy uses', () => {
    const { manager, deps } = setup();
    manager.setCluster(
      clusterConfig([{ port: 1 }, { port: 2, health: 'UNHEALTHY' }], {
        name: 'outbound|80||reviews',
      }),
    );
    const values = new Map<string, number>();
    for (const [, { dotted, read, metric }] of deps.stats.series()) {
      values.set(dotted, read === null ? (metric as { value: number }).value : read());
    }
    expect(values.get('cluster.outbound|80||reviews.membership_total')).toBe(2);
    expect(values.get('cluster.outbound|80||reviews.membership_healthy')).toBe(1);
    manager.get('outbound|80||reviews')!.countEvent('perTryTimeout');
    const names = (
      'upstream_cx_active upstream_rq_total upstream_rq_2xx upstream_rq_4xx upstream_rq_5xx ' +
      'upstream_rq_retry upstream_rq_retry_success upstream_rq_retry_overflow ' +
      'upstream_rq_retry_limit_exceeded upstream_rq_timeout upstream_rq_per_try_timeout ' +
      'upstream_rq_pending_overflow circuit_breakers.default.cx_open ' +
      'circuit_breakers.default.rq_open circuit_breakers.default.rq_pending_open'
    ).split(' ');
    for (const name of names) expect(values.get(`cluster.outbound|80||reviews.${name}`)).toBe(0);
    const series = [...deps.stats.series()].map(([, one]) => one);
    const timeouts = series.find(({ dotted }) => dotted.endsWith('upstream_rq_per_try_timeout'));
    expect(timeouts?.metric).toMatchObject({ value: 1 });
  });

  test('the same address twice counts once', () => {
    const { manager } = setup();
    manager.setCluster(clusterConfig([{ port: 5 }, { port: 5, weight: 3 }]));
    expect(addresses(manager.get('test')!)).toEqual(['127.0.0.1:5']);
  });

  test('[RS-02] picks avoid endpoints that were tried while another is left', () => {
    const { manager } = setup();
    manager.setCluster(clusterConfig([{ port: 1 }, { port: 2 }, { port: 3 }]));
    const cluster = manager.get('test')!;
    const tried: NonNullable<ReturnType<typeof cluster.pickEndpoint>>[] = [];
    for (let round = 0; round < 3; round++) {
      const picked = cluster.pickEndpoint({ ...NO_CONTEXT, tried, repicksMax: 1 })!;
      expect(tried).not.toContain(picked);
      tried.push(picked);
    }
    expect(tried).toContain(cluster.pickEndpoint({ ...NO_CONTEXT, tried, repicksMax: 1 }));
  });

  test('opaque connections pass bytes and half-closes', async () => {
    const server = await loopback((socket) => {
      socket.on('data', (bytes: Buffer) => socket.write(`<${bytes.toString()}>`));
      socket.on('end', () => socket.end('bye'));
    });
    cleanups.push(() => server.close());
    const { manager } = setup();
    manager.setCluster(clusterConfig([{ port: server.port }]));
    const cluster = manager.get('test')!;
    const tunnel = new RecordingTunnel();
    const endpoint = cluster.pickEndpoint(NO_CONTEXT)!;
    cluster.connect(endpoint, tunnel);
    await tunnel.until(() => tunnel.transport !== null);
    expect(endpoint.active).toBe(1);
    tunnel.transport!.write('hi');
    await tunnel.until(() => tunnel.text === '<hi>');
    tunnel.transport!.end();
    await tunnel.until(() => tunnel.closed !== '');
    expect(tunnel).toMatchObject({ text: '<hi>bye', ended: true });
    expect(endpoint.active).toBe(0);
    expect(cluster.breaker.connections).toBe(0);
  });
});

describe('STRICT_DNS', () => {
  function dnsSetup(answers: Map<string, readonly string[]>) {
    const clock = new ManualClock();
    const dns = new DnsResolver({
      clock,
      hostsPath: '/nonexistent',
      resolvConfPath: '/nonexistent',
      queries: {
        resolve4: async (name) => {
          const found = answers.get(name);
          if (found === undefined) throw Object.assign(new Error(name), { code: 'ENOTFOUND' });
          return found;
        },
        resolve6: async (name) => {
          throw Object.assign(new Error(name), { code: 'ENODATA' });
        },
      },
    });
    return { clock, ...setup({ dns, timers: new TimerLists(clock) }) };
  }
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  const config = (change: Partial<ClusterConfig> = {}) =>
    clusterConfig([{ address: 'app.example', port: 80 }], {
      discovery: 'STRICT_DNS',
      dnsRefreshMs: 1_000,
      ...change,
    });

  test('[DS-03] every address is an endpoint, and a changed answer changes the set', async () => {
    const answers = new Map([['app.example', ['10.0.0.2', '10.0.0.1']]]);
    const { manager, clock } = dnsSetup(answers);
    manager.setCluster(config());
    await manager.warm('test');
    const cluster = manager.get('test')!;
    expect(addresses(cluster)).toEqual(['10.0.0.1:80', '10.0.0.2:80']);
    expect(cluster.endpoints[0]!.hostname).toBe('app.example');
    const [kept] = cluster.endpoints;
    answers.set('app.example', ['10.0.0.1', '10.0.0.3']);
    clock.advance(1_000);
    while (addresses(cluster).includes('10.0.0.2:80')) await settled();
    expect(addresses(cluster)).toEqual(['10.0.0.1:80', '10.0.0.3:80']);
    expect(cluster.endpoints[0]).toBe(kept);
  });

  test('[DS-03] [D27] a failing resolution keeps the last good addresses', async () => {
    const answers = new Map([['app.example', ['10.0.0.1']]]);
    const { manager, clock } = dnsSetup(answers);
    manager.setCluster(config());
    await manager.warm('test');
    const cluster = manager.get('test')!;
    answers.clear();
    clock.advance(1_000);
    while (cluster.updates.updateFailure.value === 0) await settled();
    expect(addresses(cluster)).toEqual(['10.0.0.1:80']);
  });

  test('a name that does not resolve warms the cluster with no endpoint', async () => {
    const { manager } = dnsSetup(new Map());
    manager.setCluster(config());
    await manager.warm('test');
    expect(manager.get('test')!.pickEndpoint(NO_CONTEXT)).toBeNull();
  });

  test('localhost works with no network', async () => {
    const server = await loopback(answering('local'));
    cleanups.push(() => server.close());
    const { manager } = setup();
    manager.setCluster(
      clusterConfig([{ address: 'localhost', port: server.port }], { discovery: 'STRICT_DNS' }),
    );
    await manager.warm('test');
    expect(await get(manager.get('test')!)).toMatchObject({ status: 200, body: 'local' });
  });
});

describe('ORIGINAL_DST', () => {
  const config = clusterConfig([], { discovery: 'ORIGINAL_DST' });

  test('[LB-06] connects to the address that the app dialled, also by name', async () => {
    const server = await loopback(answering('direct'));
    cleanups.push(() => server.close());
    const { manager } = setup();
    manager.setCluster(config);
    const cluster = manager.get('test')!;
    expect(await get(cluster, `127.0.0.1:${server.port}`)).toMatchObject({ body: 'direct' });
    expect(await get(cluster, `127.0.0.1:${server.port}`)).toMatchObject({ body: 'direct' });
    expect(server.connections).toBe(1);
    expect(await get(cluster, `localhost:${server.port}`)).toMatchObject({ body: 'direct' });
    expect(cluster.membershipTotal).toBe(2);
  });

  test('[D30] a name whose first address refuses is reached at the next one', async () => {
    const server = await loopback(answering('second'), '127.0.0.2');
    cleanups.push(() => server.close());
    const queries = { resolve4: async () => ['127.0.0.1', '127.0.0.2'], resolve6: async () => [] };
    const dns = new DnsResolver({ queries, hostsPath: '/nonexistent' });
    const { manager } = setup({ dns });
    manager.setCluster(config);
    const sink = await get(manager.get('test')!, `two.example:${server.port}`);
    expect(sink).toMatchObject({ status: 200, body: 'second' });
  });

  test('no original destination, no endpoint', () => {
    const { manager } = setup();
    manager.setCluster(config);
    expect(manager.get('test')!.pickEndpoint(NO_CONTEXT)).toBeNull();
  });

  test('an address of our own listener is refused, by number and by name', async () => {
    const { manager } = setup({
      isOwnAddress: (host, port) => host === '127.0.0.1' && port === 99,
    });
    manager.setCluster(config);
    const cluster = manager.get('test')!;
    const context = { ...NO_CONTEXT, originalDestination: '127.0.0.1:99' };
    expect(cluster.pickEndpoint(context)).toBeNull();
    expect((await get(cluster, 'localhost:99')).failure).toContain('refusing to loop');
  });

  test('an endpoint that was dialled is the only one that will do', () => {
    const { manager } = setup();
    const instances = [1, 2].map((last) => ({ address: `10.0.0.${last}`, port: 6379 }));
    manager.setCluster(clusterConfig(instances));
    const cluster = manager.get('test')!;
    const pick = (endpointOnly: string) => cluster.pickEndpoint({ ...NO_CONTEXT, endpointOnly });
    for (let round = 0; round < 10; round++) {
      expect(pick('10.0.0.2:6379')?.address).toBe('10.0.0.2:6379');
    }
    expect(pick('10.0.0.3:6379')).toBeNull();
  });

  test('endpoints that nobody uses are let go', async () => {
    const clock = new ManualClock();
    const { manager } = setup({ timers: new TimerLists(clock) });
    manager.setCluster(config);
    const cluster = manager.get('test')!;
    cluster.pickEndpoint({ ...NO_CONTEXT, originalDestination: '10.0.0.1:80' });
    clock.advance(60_000);
    expect(cluster.membershipTotal).toBe(1);
    clock.advance(60_000);
    expect(cluster.membershipTotal).toBe(0);
    expect(clock.pending).toBe(0);
  });

  test('the number of addresses is bounded', () => {
    const { manager } = setup();
    manager.setCluster(config);
    const cluster = manager.get('test')!;
    for (let at = 0; at < 5_000; at++) {
      cluster.pickEndpoint({
        ...NO_CONTEXT,
        originalDestination: `10.1.${at >> 8}.${at & 255}:80`,
      });
    }
    expect(cluster.membershipTotal).toBeLessThanOrEqual(4_096);
  });
});

describe('upstream TLS', () => {
  const SERVER = 'spiffe://cluster.local/ns/default/sa/server';
  let authority: TestAuthority;
  let server: IssuedCertificate;
  let client: IssuedCertificate;
  beforeAll(async () => {
    authority = await makeAuthority();
    server = await authority.issue({ uri: [SERVER] });
    client = await authority.issue({ uri: ['spiffe://cluster.local/ns/default/sa/client'] });
  });

  const tls = (change: Partial<UpstreamTlsConfig> = {}): UpstreamTlsConfig => ({
    certificateSecret: 'default',
    validationSecret: 'ROOTCA',
    subjectAltNames: [{ type: 'URI', text: SERVER, matches: (san) => san === SERVER }],
    alpnProtocols: ['istio-http/1.1'],
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: '',
    sni: 'outbound_.80_._.server.default.svc.cluster.local',
    ...change,
  });

  async function secureServer() {
    const peers: string[] = [];
    const made = createTlsServer(
      {
        cert: server.certificateChainPem,
        key: server.privateKeyPem,
        ca: authority.certificatePem,
        requestCert: true,
        rejectUnauthorized: true,
        ALPNProtocols: ['istio-http/1.1'],
      },
      (socket) => {
        peers.push(`${socket.servername} ${socket.alpnProtocol}`);
        socket.on('error', () => {});
        answering('secure')(socket);
      },
    );
    made.on('tlsClientError', () => {});
    made.listen(0, '127.0.0.1');
    await once(made, 'listening');
    cleanups.push(() => made.close());
    return { port: (made.address() as AddressInfo).port, peers };
  }

  function secureSetup(port: number, change: Partial<ClusterConfig>) {
    const { manager, deps } = setup();
    expect(deps.secrets.setCertificate('default', client)).toBe('');
    expect(deps.secrets.setValidation('ROOTCA', { trustedCaPem: authority.certificatePem })).toBe(
      '',
    );
    manager.setCluster(
      clusterConfig([{ port, transportSocketMatch: new Map([['tlsMode', 'istio']]) }], change),
    );
    return { cluster: manager.get('test')!, manager, secrets: deps.secrets };
  }

  test('[SC-01] mutual TLS by transport_socket_matches, with SNI, ALPN and the identity of the peer', async () => {
    const { port, peers } = await secureServer();
    const { cluster } = secureSetup(port, {
      tlsMatches: [{ name: 'mtls', match: new Map([['tlsMode', 'istio']]), tls: tls() }],
    });
    const sink = await get(cluster);
    expect(sink).toMatchObject({ status: 200, body: 'secure' });
    expect(sink.connection).toMatchObject({ mutualTls: true, peerPrincipal: SERVER });
    expect(peers).toEqual([`${tls().sni} istio-http/1.1`]);
  });

  test('[A3.7] a valid certificate of the wrong service is a failure that names both', async () => {
    const { port } = await secureServer();
    const other = 'spiffe://cluster.local/ns/default/sa/other';
    const { cluster } = secureSetup(port, {
      tls: tls({
        subjectAltNames: [{ type: 'URI', text: other, matches: (san) => san === other }],
      }),
    });
    expect((await get(cluster)).failure).toBe(
      `connectionFailure: SAN mismatch: expected ${other}, seen ${SERVER}`,
    );
    expect(cluster.stats.tlsFails.value).toBe(1);
  });

  test('a server of another authority is a failure', async () => {
    const { port } = await secureServer();
    const { cluster, secrets } = secureSetup(port, { tls: tls() });
    const other = await makeAuthority('other');
    secrets.setValidation('ROOTCA', { trustedCaPem: other.certificatePem });
    expect((await get(cluster)).failure).toMatch(/certificate verify failed: [A-Z_]+/);
  });

  test('[A4.1] without roots nothing is sent, and never in plain text', async () => {
    const plain = await loopback(answering('plain'));
    cleanups.push(() => plain.close());
    const { cluster, secrets } = secureSetup(plain.port, { tls: tls() });
    secrets.remove('ROOTCA');
    expect((await get(cluster)).failure).toBe(
      "connectionFailure: TLS error: trusted roots 'ROOTCA' have not arrived yet",
    );
    expect(plain.connections).toBe(0);
  });

  test('[A4.1] a server that speaks plain text is a failure', async () => {
    const plain = await loopback((socket) =>
      socket.on('data', () => socket.end('HTTP/1.1 400\r\n')),
    );
    cleanups.push(() => plain.close());
    const { cluster } = secureSetup(plain.port, { tls: tls() });
    expect((await get(cluster)).failure).toMatch(/^connectionFailure: TLS error: /);
  });

  test('[A2.6] a change of the TLS identity leaves the old connections', async () => {
    const { port } = await secureServer();
    const { cluster, manager } = secureSetup(port, { tls: tls() });
    await get(cluster);
    const config = cluster.config;
    manager.setCluster({ ...config, tls: tls() });
    expect((await get(cluster)).reusedAtStart).toBe(true);
    manager.setCluster({ ...config, tls: tls({ sni: 'other.example' }) });
    expect((await get(cluster)).reusedAtStart).toBe(false);
  });
});
