import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { KubernetesObject } from '../control-plane/kubernetes/kubernetes-object.ts';
import { Docker, InjectedPod } from './harness/injected-pod.ts';
import { installedObjects } from './harness/installation.ts';
import { serviceAccountUser } from './harness/kubernetes-api/access.ts';
import { KubernetesApi } from './harness/kubernetes-api.ts';
import { NodeProcess, ROOT } from './harness/node-process.ts';
import { until } from './harness/until.ts';

/**
 * Pods from the API server to the packet: the webhook injects them, and what it wrote is run as a kubelet would, in containers
 * of the image, with the control plane taking services, identities and policies from the cluster.
 */

t.setTimeout(200_000);

const IMAGE = process.env['WEFT_TEST_IMAGE'] ?? '';
const APP_IMAGE = process.env['NODE_IMAGE'] ?? 'node:26-bookworm-slim';
const CONTROL_PLANE = 'weft-control-plane.weft-system.svc';
const VIP = '10.96.0.10';

function skipped(): string | false {
  if (IMAGE === '') return 'no image is named in WEFT_TEST_IMAGE (make e2e-pod builds one)';
  const found = spawnSync('docker', ['image', 'inspect', IMAGE, APP_IMAGE]).status === 0;
  return found ? false : `Docker has no ${IMAGE} or no ${APP_IMAGE}`;
}

/** An app that was told nothing: says who it is and what it saw. */
const APP = `require('node:http').createServer((request, response) => {
  if (request.url === '/metrics') return response.end('app_requests_total 7\\n');
  if (request.url === '/ready') return response.end('ready');
  const caller = request.headers['x-forwarded-client-cert'] ?? 'nobody';
  response.end(JSON.stringify({ pod: process.env.HOSTNAME, caller, peer: request.socket.remoteAddress }));
}).listen(8080, '0.0.0.0')`;

const podOf = (app: string): KubernetesObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: app,
    namespace: 'shop',
    labels: { app, version: 'v1' },
    annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/port': '8080' },
  },
  spec: {
    serviceAccountName: app,
    containers: [
      {
        name: 'app',
        image: APP_IMAGE,
        ports: [{ containerPort: 8080 }],
        readinessProbe: { httpGet: { path: '/ready', port: 8080 } },
        livenessProbe: { tcpSocket: { port: 8080 } },
      },
    ],
  },
});

t.test('[KI-01] [KI-05] [OB-05] injected pods of a cluster', { skip: skipped() }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'weft-pods-'));
  chmodSync(directory, 0o755); // read by UID 1337
  const docker = new Docker();
  t.teardown(async () => {
    await docker.clean();
    rmSync(directory, { recursive: true, force: true });
  });
  const data = join(directory, 'control-plane');
  const network = `weft-pods-${process.pid}`;
  const gateway = await docker.makeNetwork(network);
  const api = await KubernetesApi.start({
    tls: true,
    resolveService: () => {
      const { addresses } = JSON.parse(readFileSync(join(data, 'control-plane.json'), 'utf8')) as {
        addresses: { webhooks: string };
      };
      return { host: '127.0.0.1', port: Number(addresses.webhooks.split(':').at(-1)) };
    },
  });
  t.teardown(() => api.close());
  for (const object of installedObjects(`image.repository=${IMAGE.split(':')[0]}`)) api.put(object);
  api.put({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shop', labels: { 'weft.dev/injection': 'enabled' } },
  });
  api.addUser('control-plane', serviceAccountUser('weft-system', 'weft-control-plane'));
  const kubeconfig = join(directory, 'kubeconfig');
  writeFileSync(kubeconfig, api.kubeconfig('control-plane'), { mode: 0o600 });
  api.addUser('admin', { username: 'admin', groups: ['system:masters'], uid: 'admin' });
  const settings = join(directory, 'injection.json');
  writeFileSync(settings, JSON.stringify({ image: IMAGE }));
  const controlPlane = new NodeProcess([
    join(ROOT, 'control-plane/main.ts'),
    ...['--data', data, '--xds', `${gateway}:15012`, '--api', '127.0.0.1:0'],
    ...['--monitoring', '127.0.0.1:0', '--webhooks', '127.0.0.1:0'],
    ...['--kubernetes', '--kubeconfig', kubeconfig, '--store', 'kubernetes'],
    ...['--pod-namespace', 'weft-system', '--pod-name', 'test', '--injection-settings', settings],
  ]);
  t.teardown(() => controlPlane.stop());
  await controlPlane.seen(/control plane ready/);
  const rootCert = await until('the mesh root in the namespace', () => {
    const map = api.get('configmaps', 'shop', 'weft-ca-root-cert');
    return (map?.['data'] as { 'root-cert.pem': string } | undefined)?.['root-cert.pem'];
  });
  await until('caBundle', () =>
    (
      api.get('mutatingwebhookconfigurations', '', 'weft-injection')!['webhooks'] as {
        clientConfig: { caBundle?: string };
      }[]
    ).every(({ clientConfig }) => clientConfig.caBundle !== undefined),
  );

  /** Creates by way of admission. */
  const create = async (path: string, object: KubernetesObject): Promise<KubernetesObject> => {
    const file = join(directory, 'object.json');
    writeFileSync(file, JSON.stringify(object));
    const ca = join(directory, 'ca.pem');
    writeFileSync(ca, api.caPem);
    const words = ['--silent', '--cacert', ca, '-H', 'authorization: Bearer admin'];
    const curl = new NodeProcess(
      [...words, '-H', 'content-type: application/json', '-d', `@${file}`, `${api.url}${path}`],
      { command: 'curl' },
    );
    await curl.exited;
    const made = JSON.parse(curl.stdout) as KubernetesObject & { message?: string };
    if (made.kind === 'Status') throw new Error(made.message);
    return made;
  };
  const start = async (app: string): Promise<InjectedPod> => {
    const pod = await create('/api/v1/namespaces/shop/pods', podOf(app));
    const hosts = { [CONTROL_PLANE]: gateway };
    const running = await InjectedPod.create(pod, { docker, network, hosts, directory, rootCert });
    api.put({
      ...pod,
      status: {
        phase: 'Running',
        podIP: running.ip,
        podIPs: [{ ip: running.ip }],
        conditions: [{ type: 'Ready', status: 'True' }],
      },
    });
    const token = api.tokens.issue({
      namespace: 'shop',
      serviceAccount: app,
      audiences: ['weft-ca'],
    });
    await running.start(pod, token, ['node', '-e', APP]);
    await until(
      `the sidecar of ${app}`,
      async () => (await running.probe('weft-proxy', 'startupProbe')) === 200,
    );
    return running;
  };

  const echo = await start('echo');
  api.put({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'echo', namespace: 'shop' },
    spec: {
      clusterIP: VIP,
      clusterIPs: [VIP],
      selector: { app: 'echo' },
      ports: [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' }],
    },
  });
  api.put({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: 'echo-1',
      namespace: 'shop',
      labels: { 'kubernetes.io/service-name': 'echo' },
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: [
      {
        addresses: [echo.ip],
        conditions: { ready: true },
        targetRef: { kind: 'Pod', name: 'echo', namespace: 'shop' },
      },
    ],
  });
  const client = await start('client');
  /** The app of the client calls the service by its address, as after a look-up of its name. */
  const call = async (): Promise<string> => {
    const code = `fetch('http://${VIP}/').then(async (r) => console.log(r.status, await r.text()), (e) => console.log(e.cause.code))`;
    return (await client.exec('app', 'node', '-e', code)).out;
  };
  const fromOutside = () =>
    fetch(`http://${echo.ip}:8080/`).then(
      async (response) => `${response.status} ${await response.text()}`,
      () => 'closed',
    );
  const MESHED =
    /^200 .*URI=spiffe:\/\/cluster\.local\/ns\/shop\/sa\/client.*"peer":"127\.0\.0\.6"/;

  await t.test('the app calls a Service, and both ends are who they say', async (t) => {
    const answer = await until('an answer of the mesh', async () => {
      const text = await call();
      return MESHED.test(text) ? text : undefined;
    });
    t.match(answer, /By=spiffe:\/\/cluster\.local\/ns\/shop\/sa\/echo/);
    t.match(await fromOutside(), /^200 .*"caller":"nobody"/, 'PERMISSIVE: plain text is taken');
  });

  await t.test(
    'STRICT from the cluster: strangers are closed out, mesh and kubelet are not',
    async (t) => {
      await create('/apis/security.istio.io/v1/namespaces/shop/peerauthentications', {
        apiVersion: 'security.istio.io/v1',
        kind: 'PeerAuthentication',
        metadata: { name: 'default', namespace: 'shop' },
        spec: { mtls: { mode: 'STRICT' } },
      });
      await until('STRICT', async () => (await fromOutside()) === 'closed');
      t.match(await call(), MESHED);
      t.equal(await echo.probe('app', 'readinessProbe'), 200);
      t.equal(await echo.probe('app', 'livenessProbe'), 200);
      t.equal(echo.container('app').readinessProbe!.httpGet.port, 15_020);
    },
  );

  await t.test('one page has the metrics of sidecar and app', async (t) => {
    const { annotations = {} } = api.get('pods', 'shop', 'echo')!.metadata;
    const { 'prometheus.io/port': port, 'prometheus.io/path': path } = annotations;
    const page = await (await fetch(`http://${echo.ip}:${port}${path}`)).text();
    t.match(page, /^app_requests_total 7$/m);
    t.match(page, /^istio_requests_total\{.*connection_security_policy="mutual_tls"/m);
  });

  await t.test(
    '[KI-03] the preStop hook drains, and the sidecar says that it is not ready',
    async (t) => {
      const { command } = echo.container('weft-proxy').lifecycle!.preStop!.exec;
      const { code, out } = await echo.exec('weft-proxy', ...command);
      t.equal(code, 0, out);
      t.not(await echo.probe('weft-proxy', 'startupProbe'), 200);
    },
  );

  await t.test('nothing that a sidecar logged is a bug', async (t) => {
    for (const pod of [echo, client])
      t.notMatch(await pod.logs('weft-proxy'), /this is a bug|"level":"error"/);
  });
});
