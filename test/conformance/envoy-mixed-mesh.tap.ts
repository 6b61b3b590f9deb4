import { type ClientHttp2Session, connect } from 'node:http2';
import t from 'tap';
import { freePorts } from '../../cli/run/free-port.ts';
import { applyPolicy } from '../harness/apply-policy.ts';
import { ControlPlane } from '../harness/control-plane.ts';
import { eitherVersionApp, type Seen } from '../harness/either-version-app.ts';
import { noEnvoy } from '../harness/envoy.ts';
import { envoySidecar } from '../harness/envoy-sidecar.ts';
import { http2Get } from '../harness/http2-get.ts';
import { viaProxy } from '../harness/mesh-request.ts';
import { until } from '../harness/until.ts';
import { Workload } from '../harness/workload.ts';

/**
 * A mesh in which one sidecar is a stock Envoy and the other is ours, under one control plane: requests of both versions
 * pass in both directions, over mutual TLS, in the version that the app expects (PR-05, PR-06). Envoy knows nothing of
 * `weft-h2` and is never sent HTTP/1.1 over HTTP/2.
 */

t.setTimeout(150_000);

const STRICT = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
`;

/** What the app of a port is asked in, by what the caller speaks and which sidecar calls. */
const PORTS = [
  { name: 'http', number: 9080, protocol: 'http', http1: '1.1', http2: '1.1', envoyHttp2: '1.1' },
  // The control plane holds an Envoy to HTTP/1.1 where nothing is declared.
  { name: 'any', number: 9081, protocol: 'detect', http1: '1.1', http2: '2.0', envoyHttp2: '1.1' },
  { name: 'grpc', number: 9082, protocol: 'http2', http1: '2.0', http2: '2.0', envoyHttp2: '2.0' },
] as const;

const entries = (listen: readonly string[]) => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: foreign}
spec:
  hosts: [foreign.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {number: 9080, name: http, protocol: HTTP}
  - {number: 9081, name: any}
  - {number: 9082, name: grpc, protocol: GRPC}
  workloadSelector: {labels: {app: foreign}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: foreign}
spec:
  address: 127.0.0.1
  serviceAccount: foreign
  ports: {${PORTS.map(({ name }, at) => `${name}: ${listen[at]!.split(':')[1]}`).join(', ')}}
  labels: {app: foreign, security.istio.io/tlsMode: istio}
`;

t.test('an Envoy and a sidecar of ours', { skip: noEnvoy() }, async (t) => {
  const [xdsPort, outboundPort, ...listening] = await freePorts(2 + PORTS.length);
  const listen = listening.map((port) => `127.0.0.1:${port}`);
  const controlPlane = await ControlPlane.start('--plaintext-xds', `127.0.0.1:${xdsPort}`);
  t.teardown(() => controlPlane.stop());
  const app = await eitherVersionApp();
  t.teardown(() => app.close());
  await applyPolicy(controlPlane, entries(listen));
  const ours = await Promise.all([
    ...PORTS.map(({ name, number, protocol }) =>
      Workload.ready(controlPlane, {
        ...{ service: `ours-${name}`, serviceAccount: 'ours', appPort: app.port },
        ...{ servicePort: number, protocol },
      }),
    ),
    Workload.ready(controlPlane),
  ]);
  t.teardown(() => Promise.all(ours.map((workload) => workload.stop())));
  const envoy = await envoySidecar(controlPlane, {
    ...{ name: 'foreign', xdsPort: xdsPort!, outboundPort: outboundPort! },
    ports: PORTS.map(({ name, number, protocol }, at) => ({
      ...{ name, number, protocol },
      ...{ listen: listen[at], app: `127.0.0.1:${app.port}` },
    })),
  });
  t.teardown(() => envoy.stop());
  await envoy.untilLive();
  await applyPolicy(controlPlane, STRICT);
  const client = ours.at(-1)!;
  const directions = [
    {
      direction: 'ours → Envoy',
      port: client.outboundPort,
      host: () => 'foreign',
      caller: 'client',
      http2: 'http2',
    },
    {
      direction: 'Envoy → ours',
      port: outboundPort!,
      host: (name: string) => `ours-${name}`,
      caller: 'foreign',
      http2: 'envoyHttp2',
    },
  ] as const;
  const sessions = new Map<number, ClientHttp2Session>();
  for (const { port } of directions) {
    const session = connect(`http://127.0.0.1:${port}`);
    session.on('error', () => {});
    sessions.set(port, session);
    t.teardown(() => session.destroy());
  }

  for (const { direction, port, host, caller, http2 } of directions) {
    for (const wanted of PORTS) {
      t.test(`[PR-05] [SC-02] ${direction}, port ${wanted.name}`, async (t) => {
        const authority = `${host(wanted.name)}:${wanted.number}`;
        const callers = [
          ['HTTP/1.1', wanted.http1, () => viaProxy(port, `http://${authority}/x`)],
          ['HTTP/2', wanted[http2], () => http2Get(sessions.get(port)!, authority)],
        ] as const;
        for (const [version, expected, get] of callers) {
          await until(`${version} to be answered`, async () => (await get()).status === 200, 8_000);
          const answers = await Promise.all(Array.from({ length: 32 }, get));
          t.same([...new Set(answers.map(({ status }) => status))], [200], version);
          const seen = answers.map(({ body }) => JSON.parse(body) as Seen);
          t.same([...new Set(seen.map((one) => one.version))], [expected], `${version}: version`);
          t.notOk(
            seen.some(({ headers }) => 'x-weft-orig-proto' in headers),
            'no field of ours reaches the app',
          );
          t.match(
            seen[0]!.headers['x-forwarded-client-cert'],
            new RegExp(`URI=spiffe://cluster.local/ns/default/sa/${caller}`),
            'over mutual TLS',
          );
        }
      });
    }
  }
});
