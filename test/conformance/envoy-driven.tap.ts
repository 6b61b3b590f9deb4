import { generateKeyPairSync } from 'node:crypto';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { freePorts } from '../../cli/run/free-port.ts';
import { createRequest } from '../../control-plane/ca/certificate-request.testing.ts';
import { certificateClient } from '../../proxy/identity/certificate-client.ts';
import { applyPolicy, deletePolicy } from '../harness/apply-policy.ts';
import { ControlPlane } from '../harness/control-plane.ts';
import { type Echoed, echoApp } from '../harness/echo-app.ts';
import { noEnvoy } from '../harness/envoy.ts';
import { EnvoyProcess, noNetworkNamespace } from '../harness/envoy-process.ts';
import { type MeshResponse, viaProxy } from '../harness/mesh-request.ts';
import { proxyTypes } from '../harness/proxy-status.ts';
import { rawExchange } from '../harness/raw-exchange.ts';
import { until } from '../harness/until.ts';
import { joinToken, Workload } from '../harness/workload.ts';

/**
 * Stock Envoys as sidecars of a client, driven by our control plane over the plaintext port, with nothing in their
 * bootstrap that Istio's would not have: by delta and by state-of-the-world ADS, as an explicit proxy
 * (`INTERCEPTION_MODE: NONE`) and with the listeners of redirected connections.
 */

t.setTimeout(200_000);

const PROTOCOLS = ['DELTA_GRPC', 'GRPC'] as const;
type Protocol = (typeof PROTOCOLS)[number];

const ADS = { ads: {}, resource_api_version: 'V3' };
const NO_REDIRECTS = { INTERCEPTION_MODE: 'NONE' };
/** Of the sidecars' wildcard types and those that follow from them. */
const TYPES = ['CDS', 'EDS', 'LDS', 'RDS'];

const nodeId = (protocol: Protocol, kind: string) =>
  `sidecar~127.0.0.1~${kind}-${protocol === 'GRPC' ? 'sotw' : 'delta'}.default~default.svc.cluster.local`;

function bootstrap(
  protocol: Protocol,
  kind: string,
  controlPlane: object,
  metadata: object,
  own: { readonly listeners?: readonly object[]; readonly secrets?: readonly object[] } = {},
): object {
  return {
    node: {
      id: nodeId(protocol, kind),
      cluster: `${kind}.default`,
      metadata: { NAMESPACE: 'default', LABELS: { app: kind }, ...metadata },
    },
    dynamic_resources: {
      ads_config: {
        api_type: protocol,
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
      },
      cds_config: ADS,
      lds_config: ADS,
    },
    static_resources: {
      ...own,
      clusters: [
        {
          name: 'xds-grpc',
          type: 'STATIC',
          connect_timeout: '5s',
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
          load_assignment: {
            cluster_name: 'xds-grpc',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: controlPlane } }] }],
          },
        },
      ],
    },
  };
}

const SERVICES = (tcpPort: number, dnsPort: number) => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: echo}
spec:
  hosts: [echo.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: echo}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: echo}
spec:
  host: echo
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: opaque}
spec:
  hosts: [opaque.internal]
  addresses: [240.1.1.1]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 7, name: tcp, protocol: TCP}, {number: 443, name: tls, protocol: TLS}]
  endpoints: [{address: 127.0.0.1, ports: {tcp: ${tcpPort}, tls: ${tcpPort}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: named}
spec:
  hosts: [named.internal]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: localhost, ports: {http: ${dnsPort}}}]
`;

const instance = (version: string, port: number) => `
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: echo-${version}}
spec: {address: 127.0.0.1, ports: {http: ${port}}, labels: {app: echo, version: ${version}}}
`;

const rules = (http: string) => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo}
spec: {hosts: [echo], http: ${http}}
`;
const destination = (subset: string, weight = 100) =>
  `{destination: {host: echo, subset: ${subset}}, weight: ${weight}}`;
const to = (subset: string, extra = '') => `{route: [${destination(subset)}]${extra}}`;

/** Every type answered, nothing refused, nothing left to send. */
async function inSync(controlPlane: ControlPlane, id: string): Promise<boolean> {
  const types = await proxyTypes(controlPlane, id);
  const synced = types.filter(({ status }) => status === 'SYNCED').map(({ type }) => type);
  return TYPES.every((type) => synced.includes(type)) && synced.length === types.length;
}

/** What an Envoy counts as refused, by its own word. */
async function rejections(envoy: EnvoyProcess): Promise<string[]> {
  const stats = await envoy.admin('/stats?filter=update_rejected|update_failure|rejected_via_api');
  return stats.split('\n').filter((line) => /update_rejected: [^0]/.test(line));
}

const spread = async (count: number, get: () => Promise<MeshResponse>) => {
  const counts = new Map<string, number>();
  for (const { status, body } of await Promise.all(Array.from({ length: count }, get))) {
    const app = status === 200 ? (JSON.parse(body) as Echoed).app : String(status);
    counts.set(app, (counts.get(app) ?? 0) + 1);
  }
  return Object.fromEntries(counts) as Record<string, number>;
};

t.test('stock Envoys as explicit proxies', { skip: noEnvoy() }, async (t) => {
  const [xdsPort, ...proxyPorts] = await freePorts(1 + PROTOCOLS.length);
  const controlPlane = await ControlPlane.start('--plaintext-xds', `127.0.0.1:${xdsPort}`);
  t.teardown(() => controlPlane.stop());
  const [v1, v2, tcp] = [await echoApp('v1'), await echoApp('v2'), await echoingServer()];
  t.teardown(() => Promise.all([v1.close(), v2.close(), tcp.close()]));
  await applyPolicy(controlPlane, SERVICES(tcp.port, v1.port));
  await applyPolicy(controlPlane, instance('v1', v1.port));
  await applyPolicy(controlPlane, instance('v2', v2.port));
  const meshed = await Workload.spawn(controlPlane, { service: 'meshed', appPort: v1.port });
  t.teardown(() => meshed.stop());
  const envoys = PROTOCOLS.map((protocol, index) => {
    const port = proxyPorts[index]!;
    const metadata = { ...NO_REDIRECTS, HTTP_PROXY_PORT: String(port) };
    const xds = { socket_address: { address: '127.0.0.1', port_value: xdsPort } };
    const envoy = new EnvoyProcess(() => ({
      bootstrap: bootstrap(protocol, 'client', xds, metadata),
    }));
    t.teardown(() => envoy.stop());
    const get = (url: string, headers = {}) => viaProxy(port, url, headers);
    return { protocol, port, envoy, get, id: nodeId(protocol, 'client') };
  });
  await Promise.all([meshed.untilReady(), ...envoys.map(({ envoy }) => envoy.untilLive())]);
  const apply = (http: string) => applyPolicy(controlPlane, rules(http));
  const nothingRefused = async (t: {
    same: (found: unknown, wanted: unknown, message: string) => boolean;
  }) => {
    for (const { envoy, id, protocol } of envoys) {
      await until(`${protocol} to be in sync`, () => inSync(controlPlane, id));
      t.same(await rejections(envoy), [], protocol);
    }
  };

  t.test('they take everything and call a plain app', async (t) => {
    for (const { get, protocol } of envoys) {
      const counts = await until('both instances', async () => {
        const seen = await spread(20, () => get('http://echo:9080/'));
        return (seen['v1'] ?? 0) > 0 && (seen['v2'] ?? 0) > 0 ? seen : undefined;
      });
      t.equal(counts['v1']! + counts['v2']!, 20, `${protocol}: no call failed`);
      t.equal((await get('http://echo.default.svc.cluster.local:9080/a?b=c')).status, 200);
      t.equal((await get('http://named.internal/')).status, 200, `${protocol}: by DNS`);
    }
    await nothingRefused(t);
  });

  t.test('[TM-08] [TM-04] they split by weight and match headers', async (t) => {
    await apply(`[
      {match: [{headers: {end-user: {exact: jason}}}], route: [${destination('v2')}]},
      {match: [{uri: {prefix: /old}}], rewrite: {uri: /new}, headers: {request: {set: {x-set: "1"}}}, route: [${destination('v1')}]},
      {match: [{uri: {regex: "/tea/[0-9]+"}}], directResponse: {status: 418, body: {string: tea}}},
      {match: [{queryParams: {go: {exact: away}}}], redirect: {uri: /else, redirectCode: 302}},
      {match: [{uri: {exact: /abort}}], fault: {abort: {percentage: {value: 100}, httpStatus: 555}}, route: [${destination('v1')}]},
      {route: [${destination('v1', 90)}, ${destination('v2', 10)}]}]`);
    for (const { get, protocol } of envoys) {
      const jason = () => get('http://echo:9080/', { 'end-user': 'jason' });
      await until('jason to get v2', async () => (await spread(10, jason))['v2'] === 10);
      const counts = await spread(400, () => get('http://echo:9080/'));
      t.equal((counts['v1'] ?? 0) + (counts['v2'] ?? 0), 400, `${protocol}: no call failed`);
      // Five standard deviations of a binomial distribution.
      t.ok(Math.abs((counts['v2'] ?? 0) - 40) < 30, `${protocol}: ${counts['v2']} went to v2`);
      const rewritten = JSON.parse((await get('http://echo:9080/old/x')).body) as Echoed;
      t.match(rewritten, { url: '/new/x', headers: { 'x-set': '1' } }, protocol);
      t.match(await get('http://echo:9080/tea/1'), { status: 418, body: 'tea' }, protocol);
      const moved = await get('http://echo:9080/x?go=away');
      t.match([moved.status, moved.headers['location']], [302, 'http://echo:9080/else?go=away']);
      t.equal((await get('http://echo:9080/abort')).status, 555, protocol);
    }
    await nothingRefused(t);
  });

  t.test('[SC-02] a sidecar of ours takes their plain text', async (t) => {
    for (const { get, protocol } of envoys) {
      await until(
        `${protocol} to reach it`,
        async () => (await get('http://meshed:9080/')).status === 200,
      );
    }
    await nothingRefused(t);
  });

  t.test('[PR-11] CONNECT leads to a TCP service', async (t) => {
    for (const { port, protocol } of envoys) {
      const head = 'CONNECT opaque.internal:7 HTTP/1.1\r\nhost: opaque.internal:7\r\n\r\n';
      const { text } = await rawExchange(port, `${head}ping`, {
        enough: (all) => all.endsWith('ping'),
      });
      t.match(text, /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nping$/, protocol);
    }
  });

  t.test('routes and endpoints change under load without a failed call', async (t) => {
    let isDone = false;
    const loads = envoys.map(async ({ get, protocol }) => {
      let made = 0;
      const failed: string[] = [];
      while (!isDone) {
        const counts = await spread(10, () => get('http://echo:9080/'));
        made += 10;
        failed.push(...Object.keys(counts).filter((key) => !/^v\d$/.test(key)));
      }
      t.same(failed, [], `${protocol}: of ${made} calls`);
    });
    const reach = (subset: string) =>
      Promise.all(
        envoys.map(({ get, protocol }) =>
          until(`${protocol} to call ${subset} alone`, async () => {
            return (await spread(10, () => get('http://echo:9080/')))[subset] === 10;
          }),
        ),
      );
    for (const subset of ['v2', 'v1', 'v2', 'v1']) {
      await apply(`[${to(subset)}]`);
      await reach(subset);
    }
    await deletePolicy(controlPlane, 'WorkloadEntry', 'echo-v2');
    await deletePolicy(controlPlane, 'VirtualService', 'echo');
    await reach('v1');
    isDone = true;
    await Promise.all(loads);
    await nothingRefused(t);
  });

  t.test(
    '[DS-04] a service that is removed is unknown, one that comes back is called',
    async (t) => {
      await deletePolicy(controlPlane, 'ServiceEntry', 'named');
      for (const { envoy, get, protocol } of envoys) {
        await until(
          `${protocol} to forget it`,
          async () => (await get('http://named.internal/')).status === 503,
        );
        await until(
          `${protocol} to drop its cluster`,
          async () => !(await envoy.admin('/clusters')).includes('named.internal'),
        );
      }
      await applyPolicy(controlPlane, SERVICES(tcp.port, v1.port));
      for (const { get, protocol } of envoys) {
        await until(
          `${protocol} to know it again`,
          async () => (await get('http://named.internal/')).status === 200,
        );
      }
      await nothingRefused(t);
    },
  );

  t.test('[CL-02] what an Envoy refuses is shown with its reason', async (t) => {
    // The port is taken by the app.
    const metadata = { ...NO_REDIRECTS, HTTP_PROXY_PORT: String(v1.port) };
    const xds = { socket_address: { address: '127.0.0.1', port_value: xdsPort } };
    const envoy = new EnvoyProcess(() => ({
      bootstrap: bootstrap('DELTA_GRPC', 'blocked', xds, metadata),
    }));
    t.teardown(() => envoy.stop());
    const id = nodeId('DELTA_GRPC', 'blocked');
    const refused = await until('a refusal', async () =>
      (await proxyTypes(controlPlane, id)).find(({ status }) => status === 'ERROR'),
    );
    t.match(refused, { type: 'LDS', error: /virtualOutbound[\s\S]*cannot bind/ });
    const others = (await proxyTypes(controlPlane, id)).filter(({ type }) => type !== 'LDS');
    t.ok(
      others.every(({ error }) => error === ''),
      JSON.stringify(others),
    );
    const { out } = await controlPlane.weft('proxy-status');
    t.match(out, /^blocked-delta\.default .*ERROR/m);
  });

  t.test(
    '[OP-01] they serve on without the control plane, and hear of changes after',
    async (t) => {
      await controlPlane.killHard();
      for (const { get } of envoys) {
        t.same(await spread(20, () => get('http://echo:9080/')), { v1: 20 });
      }
      await controlPlane.restart();
      await applyPolicy(controlPlane, instance('v2', v2.port));
      for (const { get, protocol } of envoys) {
        await until(
          `${protocol} to call the new instance`,
          async () => ((await spread(20, () => get('http://echo:9080/')))['v2'] ?? 0) > 0,
          60_000,
        );
      }
      await nothingRefused(t);
    },
  );
});

t.test(
  'stock Envoys with the listeners of redirected connections',
  { skip: noEnvoy() || noNetworkNamespace() },
  async (t) => {
    const [xdsPort] = await freePorts(1);
    const controlPlane = await ControlPlane.start('--plaintext-xds', `127.0.0.1:${xdsPort}`);
    t.teardown(() => controlPlane.stop());
    const app = await echoApp('v1');
    t.teardown(() => app.close());
    await applyPolicy(controlPlane, SERVICES(1, 2));
    const envoys = PROTOCOLS.map((protocol) => {
      const servers: Server[] = [];
      const envoy = new EnvoyProcess((directory) => {
        servers.push(
          relay(join(directory, 'xds'), xdsPort!),
          relay(join(directory, 'app'), app.port),
        );
        const listener = portListener(join(directory, '9080'), '9080');
        const xds = { pipe: { path: join(directory, 'xds') } };
        return {
          bootstrap: bootstrap(protocol, 'redirected', xds, {}, { listeners: [listener] }),
          networkNamespace: true,
        };
      });
      t.teardown(async () => {
        await envoy.stop();
        for (const server of servers) server.close();
      });
      return { protocol, envoy, id: nodeId(protocol, 'redirected') };
    });
    await applyPolicy(
      controlPlane,
      `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: local}
spec:
  hosts: [local.internal]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}]
  endpoints: [${envoys.map(({ envoy }) => `{address: "unix://${envoy.directory}/app"}`)}]
`,
    );
    await Promise.all(envoys.map(({ envoy }) => envoy.untilLive()));
    for (const { envoy, protocol, id } of envoys) {
      await until(`${protocol} to be in sync`, () => inSync(controlPlane, id));
      t.same(await rejections(envoy), [], protocol);
      const listeners = await envoy.admin('/listeners');
      for (const name of ['virtualOutbound', 'virtualInbound', '0.0.0.0_9080', '240.1.1.1_7']) {
        t.match(listeners, new RegExp(`^${name}::`, 'm'), `${protocol}: ${name}`);
      }
      await until(`${protocol} to call the app`, async () => {
        const { status } = await envoy.request('9080', '/', 'local.internal:9080');
        return status === 200;
      });
    }
  },
);

const STRICT = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
`;

t.test(
  '[SC-01] [SC-02] a stock Envoy with a certificate of the mesh calls a STRICT sidecar of ours',
  { skip: noEnvoy() },
  async (t) => {
    const [xdsPort, ...ports] = await freePorts(3);
    const controlPlane = await ControlPlane.start('--plaintext-xds', `127.0.0.1:${xdsPort}`);
    t.teardown(() => controlPlane.stop());
    const app = await echoApp('meshed');
    t.teardown(() => app.close());
    await applyPolicy(controlPlane, STRICT);
    const meshed = await Workload.spawn(controlPlane, { service: 'meshed', appPort: app.port });
    t.teardown(() => meshed.stop());
    const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const certificate = certificateClient({
      target: controlPlane.xds,
      rootCertsPem: () => controlPlane.rootCert(),
      serverName: '',
      now: Date.now,
    });
    const token = await joinToken(controlPlane, 'default', 'client');
    const chain = await certificate(await createRequest(keys), { kind: 'token', token }, 3600);
    const secrets = [
      {
        name: 'default',
        tls_certificate: {
          certificate_chain: { inline_string: chain.join('') },
          private_key: {
            inline_string: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
          },
        },
      },
      {
        name: 'ROOTCA',
        validation_context: { trusted_ca: { inline_string: controlPlane.rootCert() } },
      },
    ];
    const xds = { socket_address: { address: '127.0.0.1', port_value: xdsPort } };
    const start = (kind: string, port: number, metadata: object, own: object) => {
      const words = { ...NO_REDIRECTS, HTTP_PROXY_PORT: String(port), ...metadata };
      const envoy = new EnvoyProcess(() => ({
        bootstrap: bootstrap('DELTA_GRPC', kind, xds, words, own),
      }));
      t.teardown(() => envoy.stop());
      return envoy;
    };
    const [holder, stranger] = [
      start('holder', ports[0]!, { WEFT_SECRETS: 'static' }, { secrets }),
      start('stranger', ports[1]!, {}, {}),
    ];
    await Promise.all([meshed.untilReady(), holder.untilLive(), stranger.untilLive()]);
    const call = (port: number) => viaProxy(port, 'http://meshed:9080/');
    const answer = await until('an answer', async () => {
      const response = await call(ports[0]!);
      return response.status === 200 ? response : undefined;
    });
    const { headers } = JSON.parse(answer.body) as Echoed;
    t.match(
      headers['x-forwarded-client-cert'],
      /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/client/,
      'the sidecar saw who called',
    );
    await until('in sync', () => inSync(controlPlane, nodeId('DELTA_GRPC', 'holder')));
    t.same(await rejections(holder), []);
    const served = app.served();
    t.equal((await call(ports[1]!)).status, 503, 'plain text is refused');
    t.equal(app.served(), served, 'no byte of it reached the app');
  },
);

/** A listener of the bootstrap, with the routes that a redirected connection to `port` would meet. */
function portListener(path: string, port: string): object {
  const types = 'type.googleapis.com/envoy.extensions.filters';
  return {
    name: 'in-place-of-redirects',
    address: { pipe: { path } },
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type': `${types}.network.http_connection_manager.v3.HttpConnectionManager`,
              stat_prefix: 'outbound',
              rds: { route_config_name: port, config_source: ADS },
              http_filters: [
                {
                  name: 'envoy.filters.http.router',
                  typed_config: { '@type': `${types}.http.router.v3.Router` },
                },
              ],
            },
          },
        ],
      },
    ],
  };
}

/** Carries bytes from a unix socket to a port: across the border of a network namespace. */
function relay(path: string, port: number): Server {
  const server = createServer((socket) => {
    const onward = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      from.on('error', () => to.destroy());
      from.pipe(to);
    }
  });
  return server.listen(path);
}

/** Sends back what it gets. */
async function echoingServer(): Promise<{ port: number; close: () => Promise<void> }> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return { port, close: () => new Promise((resolve) => server.close(() => resolve())) };
}
