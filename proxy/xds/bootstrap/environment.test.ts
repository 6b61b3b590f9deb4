import { expect, test } from 'vitest';
import type { CompileContext } from '../compile/compile-context.ts';
import { type Bootstrap, loadBootstrap } from './bootstrap.ts';
import { drainFromEnvironment } from './drain-environment.ts';
import { bootstrapFromEnvironment, type Surroundings } from './environment.ts';
import { isConfiguredByEnvironment, type Variables } from './environment-variables.ts';
import { workloadOfPod } from './workload-name.ts';

const FILES = new Map([
  ['/var/run/secrets/weft/root-cert.pem', 'PEM'],
  ['/var/run/secrets/tokens/weft-token', 'token\n'],
]);

const NEEDED = { WEFT_CONTROL_PLANE: 'weft-control-plane.weft-system:15012' };

function made(
  variables: Variables,
  files: ReadonlyMap<string, string> = FILES,
  surroundings: Partial<Surroundings> = {},
) {
  return bootstrapFromEnvironment({
    variables: { ...NEEDED, ...variables },
    hostName: 'host-1',
    addresses: ['10.1.2.3'],
    readFile: (path) => files.get(path),
    ...surroundings,
  });
}

const context: CompileContext = {
  root: [],
  readFile: () => Buffer.from('PEM'),
  environment: () => undefined,
  accessLog: () => ({ log() {} }),
  inlineSecret: () => 'inline:x',
};

/** Through the loader that every bootstrap goes through. */
function loaded(...args: Parameters<typeof made>): Bootstrap {
  const result = made(...args);
  if (!result.ok) throw new Error(result.problems.join('\n'));
  const text = JSON.stringify(result.bootstrap);
  const bootstrap = loadBootstrap(text, 'the environment', { node: '', cluster: '' }, (root) => ({
    ...context,
    root,
  }));
  if (!bootstrap.ok) throw new Error(bootstrap.problems.join('\n'));
  return bootstrap.bootstrap;
}

function problems(...args: Parameters<typeof made>): readonly string[] {
  const result = made(...args);
  return result.ok ? [] : result.problems;
}

test('[KI-08] the address of the control plane alone makes a sidecar in redirect mode', () => {
  const { node, settings, admin, controlPlane, dynamicClusters, dynamicListeners } = loaded({});
  expect(node).toMatchObject({
    id: 'sidecar~10.1.2.3~host-1.default~default.svc.cluster.local',
    cluster: 'host-1.default',
    metadata: { WEFT_MODE: 'redirect', INSTANCE_IPS: '10.1.2.3', SERVICE_ACCOUNT: 'default' },
  });
  expect(controlPlane).toMatchObject({
    target: 'weft-control-plane.weft-system:15012',
    tls: true,
    serverName: '',
    validationSecret: '',
  });
  expect([dynamicClusters, dynamicListeners, admin]).toEqual([
    true,
    true,
    { host: '127.0.0.1', port: 15000 },
  ]);
  expect(settings).toMatchObject({
    readiness: { host: '0.0.0.0', port: 15021 },
    prometheus: { host: '0.0.0.0', port: 15090 },
    status: { host: '0.0.0.0', port: 15020 },
    rootCertFile: '/var/run/secrets/weft/root-cert.pem',
    tokenFile: '/var/run/secrets/tokens/weft-token',
    appProbe: { kind: 'none' },
  });
});

test('[KI-08] a pod says who it is by the downward API', () => {
  const files = new Map([
    ...FILES,
    [
      '/etc/weft/pod/labels',
      'app="reviews"\npod-template-hash="5f7d8c9b4"\nnote="say \\"hi\\"\\n\\u00e9"\nversion="v1"\n',
    ],
  ]);
  const { node } = loaded(
    {
      POD_NAME: 'reviews-v1-5f7d8c9b4-x2k9q',
      POD_NAMESPACE: 'shop',
      SERVICE_ACCOUNT: 'bookinfo-reviews',
      INSTANCE_IP: '10.9.8.7,fd00::7',
      HOST_IP: '10.0.0.1',
      ISTIO_META_CLUSTER_ID: 'east',
      ISTIO_META_MESH_ID: 'mesh1',
      ISTIO_META_DNS_CAPTURE: 'true',
      ISTIO_META_INTERCEPTION_MODE: 'REDIRECT',
      WEFT_LABELS: 'version=v2, istio-locality=eu.eu-1.rack7',
      WEFT_STATE_DIR: '/var/lib/weft',
    },
    files,
  );
  expect(node).toMatchObject({
    id: 'sidecar~10.9.8.7~reviews-v1-5f7d8c9b4-x2k9q.shop~shop.svc.cluster.local',
    cluster: 'reviews.shop',
    locality: { region: 'eu', zone: 'eu-1', subZone: 'rack7' },
  });
  expect(node.metadata).toEqual({
    NAME: 'reviews-v1-5f7d8c9b4-x2k9q',
    NAMESPACE: 'shop',
    SERVICE_ACCOUNT: 'bookinfo-reviews',
    WORKLOAD_NAME: 'reviews-v1',
    CLUSTER_ID: 'east',
    MESH_ID: 'mesh1',
    HOST_IP: '10.0.0.1',
    DNS_CAPTURE: 'true',
    INTERCEPTION_MODE: 'REDIRECT',
    INSTANCE_IPS: '10.9.8.7,fd00::7',
    LABELS: {
      app: 'reviews',
      'pod-template-hash': '5f7d8c9b4',
      note: 'say "hi"\né',
      version: 'v2',
      'istio-locality': 'eu.eu-1.rack7',
    },
    WEFT_MODE: 'redirect',
    WEFT_STATE_DIR: '/var/lib/weft',
    WEFT_ROOT_CERT: '/var/run/secrets/weft/root-cert.pem',
    WEFT_TOKEN_FILE: '/var/run/secrets/tokens/weft-token',
    // An IPv6 address: kubelets come by IPv6.
    WEFT_STATUS: '[::]:15020',
    WEFT_READINESS: '[::]:15021',
    WEFT_PROMETHEUS: '[::]:15090',
  });
});

test('a sidecar in explicit mode, its ports in short form', () => {
  const { node, settings } = loaded({
    WEFT_MODE: 'explicit',
    WEFT_SERVICE: 'reviews',
    WEFT_PORTS: '9080:http:127.0.0.1:8080,9090:grpc:7070, 6379:redis',
  });
  expect(node.metadata).toMatchObject({
    WEFT_OUTBOUND: '127.0.0.1:15001',
    WEFT_APP_PROBE: 'tcp',
    WEFT_PORTS: [
      {
        number: 9080,
        protocol: 'http',
        name: 'http-9080',
        listen: '10.1.2.3:9080',
        app: '127.0.0.1:8080',
      },
      { number: 9090, protocol: 'grpc', listen: '10.1.2.3:9090', app: '127.0.0.1:7070' },
      { number: 6379, protocol: 'redis', listen: '10.1.2.3:6379', app: '127.0.0.1:6379' },
    ],
  });
  expect(settings.ports.map(({ app }) => app.port)).toEqual([8080, 7070, 6379]);
  expect(settings.appProbe).toEqual({ kind: 'tcp' });
});

test('in redirect mode others connect to the port of the app itself', () => {
  const { node } = loaded({ WEFT_SERVICE: 'reviews', WEFT_PORTS: '80:http:127.0.0.1:8080,9080' });
  expect(node.metadata!['WEFT_PORTS']).toMatchObject([
    { number: 80, protocol: 'http', listen: '0.0.0.0:8080', app: '127.0.0.1:8080' },
    { number: 9080, protocol: '', name: 'port-9080', listen: '0.0.0.0:9080' },
  ]);
});

test('WEFT_PORTS takes the JSON of the metadata, only number needed', () => {
  const text = JSON.stringify([
    { number: 9080, protocol: 'http', name: 'web', listen: '0.0.0.0:7000', app: '127.0.0.1:7001' },
    { number: 9081 },
  ]);
  const { node } = loaded({ WEFT_MODE: 'explicit', WEFT_SERVICE: 'a', WEFT_PORTS: text });
  expect(node.metadata!['WEFT_PORTS']).toMatchObject([
    { number: 9080, name: 'web', listen: '0.0.0.0:7000', app: '127.0.0.1:7001' },
    { number: 9081, listen: '10.1.2.3:9081', app: '127.0.0.1:9081' },
  ]);
});

test('Istio says explicit mode by INTERCEPTION_MODE', () => {
  const { node } = loaded({ ISTIO_META_INTERCEPTION_MODE: 'NONE' });
  expect(node.metadata).toMatchObject({ WEFT_MODE: 'explicit', WEFT_OUTBOUND: '127.0.0.1:15001' });
});

test('every port can be closed, and the admin port opened to others', () => {
  const closed = loaded({
    WEFT_ADMIN: 'none',
    WEFT_STATUS: 'none',
    WEFT_READINESS: 'none',
    WEFT_PROMETHEUS: 'none',
  });
  const { status, readiness, prometheus } = closed.settings;
  expect([closed.admin, status, readiness, prometheus]).toEqual([null, null, null, null]);
  expect(loaded({ WEFT_ADMIN: '[::]:15000' }).admin).toEqual({ host: '::', port: 15000 });
});

test('plain text to the control plane, where it is insisted on, needs neither root nor token', () => {
  const { controlPlane, settings } = loaded({ WEFT_INSECURE_XDS: 'true' }, new Map());
  expect([controlPlane!.tls, settings.tokenFile]).toEqual([false, '']);
});

test.each<[string, Variables, string]>([
  [
    'no control plane',
    { WEFT_CONTROL_PLANE: undefined },
    'WEFT_CONTROL_PLANE is not set; set it to the address of the control plane, such as weft-control-plane.weft-system:15012',
  ],
  [
    'an address without a port',
    { WEFT_CONTROL_PLANE: 'istiod' },
    'WEFT_CONTROL_PLANE: "istiod" must read host:port',
  ],
  [
    'a misspelt variable',
    { WEFT_REDINESS: '0.0.0.0:1' },
    'WEFT_REDINESS: no such variable; did you mean WEFT_READINESS?',
  ],
  [
    'a variable that is nothing',
    { WEFT_COLOUR_OF_THE_SKY: 'x' },
    'WEFT_COLOUR_OF_THE_SKY: no such variable; they are WEFT_CONTROL_PLANE, ',
  ],
  ['a bad setting', { WEFT_PROMETHEUS: '15090' }, 'WEFT_PROMETHEUS: "15090" must read host:port'],
  ['a bad probe', { WEFT_APP_PROBE: 'health' }, 'WEFT_APP_PROBE: "health" must be none, tcp'],
  ['a bad lifetime', { WEFT_CERT_TTL: '1h' }, 'WEFT_CERT_TTL: must be a number of seconds'],
  ['an unknown mode', { WEFT_MODE: 'tproxy' }, 'WEFT_MODE: "tproxy" is not one of redirect'],
  [
    'TPROXY',
    { ISTIO_META_INTERCEPTION_MODE: 'TPROXY' },
    'ISTIO_META_INTERCEPTION_MODE: "TPROXY" is not supported; use REDIRECT or NONE',
  ],
  [
    'two modes',
    { WEFT_MODE: 'redirect', ISTIO_META_INTERCEPTION_MODE: 'NONE' },
    'WEFT_MODE=redirect contradicts ISTIO_META_INTERCEPTION_MODE=NONE',
  ],
  [
    'an explicit proxy in redirect mode',
    { WEFT_OUTBOUND: '127.0.0.1:1' },
    'it needs WEFT_MODE=explicit',
  ],
  [
    'no address for the admin port',
    { WEFT_ADMIN: '15000' },
    'WEFT_ADMIN: "15000" must read host:port',
  ],
  [
    'no address for the proxy port',
    { WEFT_MODE: 'explicit', WEFT_OUTBOUND: '15001' },
    'WEFT_OUTBOUND: "15001" must read host:port',
  ],
  [
    'a flag that is none',
    { WEFT_INSECURE_XDS: 'yes' },
    'WEFT_INSECURE_XDS: "yes" is not one of true',
  ],
  [
    'another flag that is none',
    { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'on' },
    'EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "on" is not one of true, false',
  ],
  [
    'a service that is no name',
    { WEFT_SERVICE: 'A_b', WEFT_PORTS: '80' },
    'WEFT_SERVICE: "A_b" is neither a DNS label nor a host name',
  ],
  ['a name as an address', { INSTANCE_IP: 'me' }, 'INSTANCE_IP: "me" is no IP address'],
  ['a bad namespace', { POD_NAMESPACE: 'A/b' }, 'POD_NAMESPACE: "A/b" is no name of a namespace'],
  [
    'metadata that has a variable',
    { ISTIO_META_NAME: 'x' },
    'ISTIO_META_NAME: set POD_NAME instead',
  ],
  [
    'a setting as metadata',
    { ISTIO_META_WEFT_MODE: 'x' },
    'ISTIO_META_WEFT_MODE: set WEFT_MODE instead',
  ],
  ['a bad label', { WEFT_LABELS: 'app' }, 'WEFT_LABELS: "app" must read label=value'],
  ['bad JSON labels', { WEFT_LABELS: '{"app": 1}' }, 'WEFT_LABELS: the value of "app" is no text'],
  [
    'podinfo that is not there',
    { WEFT_PODINFO: '/podinfo' },
    'WEFT_PODINFO: /podinfo/labels cannot be read; mount the labels of the pod there',
  ],
  [
    'a service without ports',
    { WEFT_SERVICE: 'a' },
    'WEFT_SERVICE is set and WEFT_PORTS is not; list the ports of the app',
  ],
  ['a bad port', { WEFT_PORTS: '99999' }, 'WEFT_PORTS[0]: number must be a port, 1 to 65535'],
  ['no port', { WEFT_PORTS: 'http' }, 'WEFT_PORTS: "http" must read PORT, PORT:PROTOCOL'],
  ['a bad protocol', { WEFT_PORTS: '80:htp' }, 'WEFT_PORTS[0]: protocol "htp" is not one of http'],
  ['a port twice', { WEFT_PORTS: '80,80' }, 'WEFT_PORTS[1]: port 80 stands here twice'],
  ['a bad app', { WEFT_PORTS: '80:http:nowhere' }, 'WEFT_PORTS[0]: app must read host:port'],
  [
    'a key that is nothing',
    { WEFT_PORTS: '[{"number":1,"lisen":"x"}]' },
    'WEFT_PORTS[0]: lisen is not one of number, protocol, name, listen, app',
  ],
  ['no list', { WEFT_PORTS: '{}' }, 'WEFT_PORTS: must be a list'],
  [
    'one address for app and sidecar',
    { WEFT_MODE: 'explicit', WEFT_PORTS: '80:http:10.1.2.3:80' },
    'the app and the sidecar cannot both listen on 10.1.2.3:80',
  ],
  [
    'a root that is named and not there',
    { WEFT_ROOT_CERT: '/no.pem' },
    'WEFT_ROOT_CERT: /no.pem cannot be read: the root certificate of the control plane; mount its ConfigMap',
  ],
  [
    'a bad drain time',
    { WEFT_DRAIN_TIME_S: 'soon' },
    'WEFT_DRAIN_TIME_S: "soon" must be a number of seconds, 0 to 86400',
  ],
])('%s is told by the name of the variable', (_name, variables, problem) => {
  expect(problems(variables).join('\n')).toContain(problem);
});

test('missing files are named with what belongs there', () => {
  const [root, token] = problems({}, new Map([['/var/run/secrets/tokens/weft-token', ' \n']]));
  expect(root).toContain(
    'WEFT_ROOT_CERT is not set and /var/run/secrets/weft/root-cert.pem cannot be read',
  );
  expect(token).toContain(
    'WEFT_TOKEN_FILE is not set and /var/run/secrets/tokens/weft-token is empty',
  );
});

test('every problem is told at once', () => {
  const found = problems(
    { WEFT_CONTROL_PLANE: '', WEFT_MODE: 'x', WEFT_READINESS: 'y', WEFT_PORTS: '0', WEFT_X: '' },
    new Map(),
  );
  expect(found).toHaveLength(7);
});

test('the variables of service links, which the kubelet adds, are no mistake', () => {
  const links = {
    WEFT_CONTROL_PLANE_SERVICE_HOST: '10.96.0.1',
    WEFT_CONTROL_PLANE_SERVICE_PORT: '15012',
    WEFT_CONTROL_PLANE_SERVICE_PORT_GRPC_XDS: '15012',
    WEFT_CONTROL_PLANE_PORT: 'tcp://10.96.0.1:15012',
    WEFT_CONTROL_PLANE_PORT_15012_TCP: 'tcp://10.96.0.1:15012',
    WEFT_CONTROL_PLANE_PORT_15012_TCP_ADDR: '10.96.0.1',
    WEFT_SERVICE_HOST: '10.96.0.2', // of a Service named "weft"
    WEFT_SERVICE_PORT: '80',
    WEFT_PORT_80_TCP_PROTO: 'tcp',
  };
  expect(problems(links)).toEqual([]);
  expect(isConfiguredByEnvironment(links)).toBe(false);
  expect(problems({ ...links, WEFT_CONTROL_PLANE_SERVICE_PORT: undefined })).not.toEqual([]);
});

test.each([
  ['reviews-v1-5f7d8c9b4-x2k9q', {}, 'reviews-v1'],
  ['reviews-v1-5f7d8c9b4-x2k9q', { 'pod-template-hash': '5f7d8c9b4' }, 'reviews-v1'],
  ['app-http2', {}, 'app-http2'],
  ['log-agent-x2k9q', { 'controller-revision-hash': '7b' }, 'log-agent'],
  ['import-x2k9q', { 'job-name': 'import' }, 'import'],
  [
    'db-0',
    { 'controller-revision-hash': 'db-7b', 'statefulset.kubernetes.io/pod-name': 'db-0' },
    'db',
  ],
  ['plain', {}, 'plain'],
])('[KI-08] the pod %s with %j is of the workload %s', (pod, labels, workload) => {
  expect(workloadOfPod(pod, new Map(Object.entries(labels)))).toBe(workload);
});

test.each<[Variables, number, number]>([
  [{}, 5000, 0],
  [{ WEFT_DRAIN_TIME_S: '45' }, 45_000, 0],
  [{ TERMINATION_DRAIN_DURATION_SECONDS: '30' }, 30_000, 0],
  [{ TERMINATION_DRAIN_DURATION_SECONDS: '30', WEFT_DRAIN_TIME_S: '0' }, 0, 0],
  [{ EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'true' }, 86_400_000, 5000],
  [{ EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'true', MINIMUM_DRAIN_DURATION: '500ms' }, 86_400_000, 500],
])('[KI-03] a stop by %j takes at most %d ms and at least %d', (variables, drainMs, minimumMs) => {
  expect(drainFromEnvironment(variables)).toEqual({ ok: true, times: { drainMs, minimumMs } });
});

test('[KI-03] a duration that is none is refused', () => {
  expect(drainFromEnvironment({ MINIMUM_DRAIN_DURATION: 'long' })).toEqual({
    ok: false,
    problems: ['MINIMUM_DRAIN_DURATION: "long" must be a duration such as 5s'],
  });
});
