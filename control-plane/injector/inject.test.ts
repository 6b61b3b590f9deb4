import fc from 'fast-check';
import { CronJob } from 'kubernetes-models/batch/v1/CronJob';
import { Pod as PodModel } from 'kubernetes-models/v1/Pod';
import { describe, expect, test } from 'vitest';
import type { Fields } from '../kinds/schema.ts';
import { type InjectionContext, injectPod } from './inject.ts';
import { applyJsonPatch } from './json-patch.testing.ts';
import { diffJson } from './json-patch.ts';
import type { Container, Pod } from './pod.ts';
import { podSecurityViolations } from './pod-security.testing.ts';
import { defaultInjectionSettings, type InjectionSettings } from './settings.ts';
import { uninjectPod } from './uninject.ts';

const defaults = defaultInjectionSettings();
const legacy: Partial<InjectionSettings> = { nativeSidecar: false };

interface Parts {
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  container?: Fields;
  spec?: Fields;
}

function pod({ labels, annotations, container, spec }: Parts = {}): Pod {
  const metadata = { ...(labels && { labels }), ...(annotations && { annotations }) };
  const containers = [{ name: 'app', image: 'app:1', ...container }];
  return { metadata, spec: { containers, ...spec } } as Pod;
}

function inject(
  value: unknown,
  settings: Partial<InjectionSettings> = {},
  context: Partial<InjectionContext> = {},
) {
  return injectPod(value, { namespace: 'default', ...context }, { ...defaults, ...settings });
}

function injected(value: unknown, settings: Partial<InjectionSettings> = {}) {
  const result = inject(value, settings);
  if (result.kind !== 'injected') throw new Error(JSON.stringify(result));
  return result;
}

function refusals(value: unknown, settings: Partial<InjectionSettings> = {}): string[] {
  const result = inject(value, settings);
  if (result.kind !== 'refused') throw new Error(JSON.stringify(result));
  return result.problems.map(({ path, message }) => `${path.join('/')}: ${message}`);
}

const byName = (list: readonly Container[] | undefined, name: string): Container =>
  list!.find((container) => container.name === name)!;
const proxyOf = ({ spec }: Pod): Container =>
  byName([...spec.containers, ...(spec.initContainers ?? [])], 'weft-proxy');
const names = (list: readonly { name: string }[] | undefined) => list?.map(({ name }) => name);
const variable = (of: Pod, name: string): unknown =>
  proxyOf(of).env?.find((one) => one.name === name)?.['value'];
const redirect = (of: Pod): string => byName(of.spec.initContainers, 'weft-init').args!.join(' ');

describe('who is injected', () => {
  const on = { 'istio-injection': 'enabled' };
  const off = { 'istio-injection': 'disabled' };
  const yes = { 'sidecar.istio.io/inject': 'true' };
  const no = { 'sidecar.istio.io/inject': 'false' };
  const ours = { 'istio.io/rev': 'default' };
  const theirs = { 'istio.io/rev': 'canary' };

  test.each<[string, Record<string, string> | undefined, Parts, boolean]>([
    ['nothing said', {}, {}, false],
    ['the namespace is enabled', on, {}, true],
    ['the namespace is enabled by our label', { 'weft.dev/injection': 'enabled' }, {}, true],
    ['our label comes before theirs', { ...on, 'weft.dev/injection': 'disabled' }, {}, false],
    ['the namespace is disabled', off, {}, false],
    ['a disabled namespace is stronger than its pods', off, { labels: yes }, false],
    ['the pod says no in an enabled namespace', on, { labels: no }, false],
    ['the pod says yes where nothing is said', {}, { labels: yes }, true],
    ['the old annotation', {}, { annotations: yes }, true],
    ['the label comes before the annotation', on, { labels: yes, annotations: no }, true],
    ['our label on the pod', on, { labels: { ...yes, 'sidecar.weft.dev/inject': 'no' } }, false],
    ['the namespace is of our revision', ours, {}, true],
    ['the namespace is of our revision by a tag', { 'istio.io/rev': 'stable' }, {}, true],
    ['the namespace is of another revision', theirs, {}, false],
    ['... whatever its pods say', theirs, { labels: { ...yes, ...ours } }, false],
    ['istio-injection comes before istio.io/rev', { ...on, ...theirs }, {}, true],
    ['the pod is of our revision', {}, { labels: ours }, true],
    ['the pod is of another revision', {}, { labels: { ...theirs, ...yes } }, false],
    [
      'the revision of a pod counts for nothing in an enabled namespace',
      on,
      { labels: theirs },
      true,
    ],
    ['nobody asked for the namespace', undefined, {}, true],
    ['nobody asked, and the pod says no', undefined, { labels: no }, false],
    ['nobody asked, another revision', undefined, { labels: theirs }, false],
    ['neverInjectSelector', on, { labels: { never: '1' } }, false],
    ['the pod is stronger than neverInjectSelector', on, { labels: { never: '1', ...yes } }, true],
    ['neverInjectSelector comes first', {}, { labels: { never: '1', always: '1' } }, false],
    ['alwaysInjectSelector', {}, { labels: { always: '1' } }, true],
    ['host network', on, { labels: yes, spec: { hostNetwork: true } }, false],
    ['Windows', on, { spec: { nodeSelector: { 'kubernetes.io/os': 'windows' } } }, false],
    [
      'a word that is neither yes nor no',
      on,
      { labels: { 'sidecar.istio.io/inject': 'maybe' } },
      true,
    ],
  ])('[KI-01] %s', (_, namespaceLabels, parts, expected) => {
    const settings: Partial<InjectionSettings> = {
      revisionTags: ['stable'],
      neverInjectSelector: [{ matchExpressions: [{ key: 'never', operator: 'Exists' }] }, {}],
      alwaysInjectSelector: [{ matchLabels: { always: '1' } }],
    };
    const { kind } = inject(pod(parts), settings, { namespaceLabels });
    expect(kind).toBe(expected ? 'injected' : 'skipped');
  });

  test.each(['kube-system', 'kube-public', 'kube-node-lease', 'local-path-storage'])(
    '[KI-01] never in %s',
    (namespace) => {
      const result = inject(pod({ labels: yes }), {}, { namespace, namespaceLabels: on });
      expect(result).toMatchObject({ kind: 'skipped', reason: `namespace ${namespace}` });
    },
  );

  test('[KI-01] injectByDefault takes namespaces without a label', () => {
    const context = { namespaceLabels: {} };
    expect(inject(pod(), { injectByDefault: true }, context).kind).toBe('injected');
    expect(inject(pod({ labels: no }), { injectByDefault: true }, context).kind).toBe('skipped');
  });

  test('[KI-01] a word that is neither yes nor no is warned of', () => {
    const { warnings } = injected(pod({ labels: { 'sidecar.istio.io/inject': 'maybe' } }));
    expect(warnings[0]).toMatch(/"maybe" is neither "true" nor "false"/);
  });

  test.each([
    ['Istio', { name: 'istio-proxy', image: 'istio/proxyv2:1.30' }],
    ['Linkerd', { name: 'linkerd-proxy', image: 'x' }],
    ['Kuma', { name: 'kuma-sidecar', image: 'x' }],
  ])('[KI-01] a pod with the sidecar of %s is left alone', (mesh, other) => {
    const own = pod();
    own.spec.containers.push(other);
    expect(inject(own)).toMatchObject({
      kind: 'skipped',
      reason: `pod has the sidecar of ${mesh}`,
    });
  });
});

describe('the order of containers', () => {
  const own = () => pod({ spec: { initContainers: [{ name: 'migrate', image: 'm' }] } });

  test('[KI-03] native: redirection, sidecar, then the init containers of the app', () => {
    const { pod: after } = injected(own());
    expect(names(after.spec.initContainers)).toEqual(['weft-init', 'weft-proxy', 'migrate']);
    expect(names(after.spec.containers)).toEqual(['app']);
    const proxy = proxyOf(after);
    expect(proxy.restartPolicy).toBe('Always');
    expect(proxy.startupProbe).toMatchObject({
      httpGet: { path: '/healthz/ready', port: 15_021 },
      periodSeconds: 1,
      failureThreshold: 600,
    });
  });

  test('[KI-04] the older form: redirection last, the sidecar first, the app held until it is ready', () => {
    const { pod: after } = injected(own(), legacy);
    expect(names(after.spec.initContainers)).toEqual(['migrate', 'weft-init']);
    expect(names(after.spec.containers)).toEqual(['weft-proxy', 'app']);
    const proxy = proxyOf(after);
    expect(proxy.restartPolicy).toBeUndefined();
    expect(proxy.lifecycle).toMatchObject({
      postStart: {
        exec: { command: ['/usr/local/bin/node', '/opt/weft/weft.mjs', 'proxy', 'wait'] },
      },
    });
  });

  test('[KI-04] not held: the sidecar stands last, without a hook', () => {
    const settings = { ...legacy, holdApplicationUntilProxyStarts: false };
    const { pod: after } = injected(own(), settings);
    expect(names(after.spec.containers)).toEqual(['app', 'weft-proxy']);
    expect(proxyOf(after).lifecycle).not.toHaveProperty('postStart');
  });

  test('[KI-03] [KI-04] a pod chooses for itself', () => {
    const annotations = {
      'sidecar.istio.io/nativeSidecar': 'false',
      'proxy.istio.io/config': 'holdApplicationUntilProxyStarts: false',
    };
    const { pod: after } = injected(pod({ annotations }));
    expect(names(after.spec.containers)).toEqual(['app', 'weft-proxy']);
  });
});

test('[KI-06] readiness is that of 15021, as the annotations time it; status port 0 is none', () => {
  expect(proxyOf(injected(pod()).pod).readinessProbe).toMatchObject({
    httpGet: { path: '/healthz/ready', port: 15_021 },
    periodSeconds: 15,
    failureThreshold: 4,
  });
  const timed = {
    'readiness.status.sidecar.istio.io/initialDelaySeconds': '3',
    'readiness.status.sidecar.istio.io/periodSeconds': '7',
    'readiness.status.sidecar.istio.io/failureThreshold': '9',
  };
  expect(proxyOf(injected(pod({ annotations: timed })).pod).readinessProbe).toMatchObject({
    initialDelaySeconds: 3,
    periodSeconds: 7,
    failureThreshold: 9,
  });
  const annotations = { 'status.sidecar.istio.io/port': '0' };
  const none = injected(
    pod({ annotations, container: { livenessProbe: { httpGet: { port: 1 } } } }),
  );
  expect(proxyOf(none.pod).readinessProbe).toBeUndefined();
  expect(none.pod.spec.containers[0]!.livenessProbe).toEqual({ httpGet: { port: 1 } });
  expect(none.pod.metadata?.annotations).not.toHaveProperty('prometheus.io/port');
});

describe('probes', () => {
  const ports = [{ name: 'http', containerPort: 8080 }];
  const rewritten = (container: Fields, settings: Partial<InjectionSettings> = {}) => {
    const result = injected(pod({ container: { ports, ...container } }), settings);
    const text = variable(result.pod, 'ISTIO_KUBE_APP_PROBERS');
    return {
      app: result.pod.spec.containers[0]!,
      probers: text === undefined ? undefined : (JSON.parse(String(text)) as unknown),
      warnings: result.warnings,
    };
  };

  test('[KI-05] http, tcp and grpc probes go through the status port, the originals in the environment', () => {
    const { app, probers } = rewritten({
      livenessProbe: {
        httpGet: {
          path: '/live',
          port: 'http',
          scheme: 'HTTPS',
          httpHeaders: [{ name: 'Host', value: 'a' }],
        },
        timeoutSeconds: 3,
        periodSeconds: 5,
      },
      readinessProbe: { tcpSocket: { port: 8080 }, initialDelaySeconds: 1 },
      startupProbe: { grpc: { port: 9000, service: 'x' } },
    });
    const status = (word: string) => ({ path: `/app-health/app/${word}`, port: 15_020 });
    expect(app.livenessProbe).toEqual({
      httpGet: status('livez'),
      timeoutSeconds: 3,
      periodSeconds: 5,
    });
    expect(app.readinessProbe).toEqual({ httpGet: status('readyz'), initialDelaySeconds: 1 });
    expect(app.startupProbe).toEqual({ httpGet: status('startupz') });
    expect(probers).toEqual({
      '/app-health/app/livez': {
        httpGet: {
          path: '/live',
          port: 8080,
          scheme: 'HTTPS',
          httpHeaders: [{ name: 'Host', value: 'a' }],
        },
        timeoutSeconds: 3,
      },
      '/app-health/app/readyz': { tcpSocket: { port: 8080 } },
      '/app-health/app/startupz': { grpc: { port: 9000, service: 'x' } },
    });
  });

  test('[KI-05] hooks too', () => {
    const { app, probers } = rewritten({
      lifecycle: {
        postStart: { httpGet: { path: '/hi', port: 'http' } },
        preStop: { exec: { command: ['x'] } },
      },
    });
    expect(app.lifecycle).toEqual({
      postStart: { httpGet: { path: '/app-lifecycle/app/poststartz', port: 15_020 } },
      preStop: { exec: { command: ['x'] } },
    });
    expect(probers).toEqual({
      '/app-lifecycle/app/poststartz': { httpGet: { path: '/hi', port: 8080 } },
    });
  });

  test('[KI-05] native sidecars of the app have probes, init containers that end have none', () => {
    const livenessProbe = () => ({ httpGet: { path: '/x', port: 1 } });
    const initContainers = [
      { name: 'log', restartPolicy: 'Always', livenessProbe: livenessProbe() },
      { name: 'once', livenessProbe: livenessProbe() },
    ];
    const { pod: after } = injected(pod({ spec: { initContainers } }));
    const list = after.spec.initContainers;
    expect(byName(list, 'log').livenessProbe).toEqual({
      httpGet: { path: '/app-health/log/livez', port: 15_020 },
    });
    expect(byName(list, 'once').livenessProbe).toEqual(livenessProbe());
  });

  test.each<[string, Fields]>([
    ['exec', { exec: { command: ['true'] } }],
    ['another host', { httpGet: { host: '10.0.0.1', path: '/', port: 80 } }],
    ['another host by tcp', { tcpSocket: { host: '10.0.0.1', port: 80 } }],
    ['a port that has no such name', { httpGet: { path: '/', port: 'metrics' } }],
  ])('[KI-05] left alone: %s', (_, livenessProbe) => {
    const { app, probers } = rewritten({ livenessProbe });
    expect(app.livenessProbe).toEqual(livenessProbe);
    expect(probers).toBeUndefined();
  });

  test('[KI-05] a port that has no such name is warned of', () => {
    const { warnings } = rewritten({ livenessProbe: { tcpSocket: { port: 'x' } } });
    expect(warnings[0]).toBe(
      'container app: livenessProbe: no port of the container is named "x": stays as it is',
    );
  });

  test('[KI-05] off by annotation and by setting', () => {
    const container = { livenessProbe: { tcpSocket: { port: 80 } } };
    const annotations = { 'sidecar.istio.io/rewriteAppHTTPProbers': 'false' };
    for (const { pod: after } of [
      injected(pod({ container, annotations })),
      injected(pod({ container }), { rewriteAppProbes: false }),
    ]) {
      expect(after.spec.containers[0]!.livenessProbe).toEqual(container.livenessProbe);
    }
  });

  test('[KI-05] another status port', () => {
    const annotations = { 'status.sidecar.weft.dev/port': '16000' };
    const { pod: after } = injected(
      pod({ annotations, container: { livenessProbe: { tcpSocket: { port: 80 } } } }),
    );
    expect(after.spec.containers[0]!.livenessProbe).toMatchObject({ httpGet: { port: 16_000 } });
    expect(after.metadata?.annotations).toMatchObject({ 'prometheus.io/port': '16000' });
    expect(variable(after, 'WEFT_STATUS')).toBe('[::]:16000');
    expect(redirect(after)).toContain('-d 15090,15021,16000');
  });
});

describe('metrics', () => {
  const merged = (annotations?: Record<string, string>) => {
    const { pod: after, warnings } = injected(pod({ ...(annotations && { annotations }) }));
    const text = variable(after, 'ISTIO_PROMETHEUS_ANNOTATIONS');
    return {
      annotations: after.metadata!.annotations!,
      scrape: text === undefined ? undefined : (JSON.parse(String(text)) as unknown),
      warnings,
    };
  };
  const pointed = {
    'prometheus.io/scrape': 'true',
    'prometheus.io/port': '15020',
    'prometheus.io/path': '/stats/prometheus',
  };

  test('[OB-05] Prometheus is pointed at the status port, the app travels in the environment', () => {
    const { annotations, scrape } = merged({
      'prometheus.io/scrape': 'true',
      'prometheus.io/port': '9080',
      'prometheus.io/path': '/m',
    });
    expect(annotations).toMatchObject(pointed);
    expect(scrape).toEqual({ scrape: 'true', path: '/m', port: '9080' });
  });

  test('[OB-05] other spellings are taken away, or Prometheus would choose one', () => {
    const { annotations, scrape } = merged({ prometheus_io_port: '1', 'prometheus-io-path': '/p' });
    expect(annotations).toMatchObject(pointed);
    expect(Object.keys(annotations).filter((key) => /^prometheus[-_]/.test(key))).toEqual([]);
    expect(scrape).toEqual({ scrape: '', path: '/p', port: '1' });
  });

  test("[OB-05] a pod without metrics still shows the sidecar's", () => {
    const { annotations, scrape } = merged();
    expect(annotations).toMatchObject(pointed);
    expect(scrape).toBeUndefined();
  });

  test('[OB-05] several targets', () => {
    const { scrape } = merged({ 'prometheus.istio.io/scrape-targets': '8080:/m, 9090' });
    expect(scrape).toEqual({
      scrape: 'true',
      path: '',
      port: '',
      targets: [
        { port: '8080', path: '/m' },
        { port: '9090', path: '/metrics' },
      ],
    });
  });

  test.each<[string, Record<string, string>]>([
    ['scrape is false', { 'prometheus.io/scrape': 'false', 'prometheus.io/port': '1' }],
    ['turned off', { 'prometheus.istio.io/merge-metrics': 'false', 'prometheus.io/port': '1' }],
    ['https', { 'prometheus.io/scheme': 'https', 'prometheus.io/port': '1' }],
    ['the author has pointed it there', { 'prometheus.io/port': '15020' }],
  ])('[OB-05] left alone: %s', (_, own) => {
    const { annotations, scrape } = merged(own);
    expect(annotations).toMatchObject(own);
    expect(scrape).toBeUndefined();
  });

  test('[OB-05] a port of the sidecar is refused as a target', () => {
    expect(refusals(pod({ annotations: { 'prometheus.io/port': '15090' } }))).toEqual([
      'metadata/annotations/prometheus.io/port: "15090" must be a port of the app: this one is the sidecar\'s own metrics, which are merged already',
    ]);
    expect(
      refusals(pod({ annotations: { 'prometheus.istio.io/scrape-targets': '15000' } }))[0],
    ).toMatch(/must be ports of the app; 15000 is the sidecar's admin port/);
  });
});

test('[KI-05] what stands in a probe is not taken for a variable of Kubernetes', () => {
  const container = { livenessProbe: { httpGet: { path: '/$(HOST_IP)/$$/$1', port: 80 } } };
  const text = String(variable(injected(pod({ container })).pod, 'ISTIO_KUBE_APP_PROBERS'));
  expect(text).toContain('/$$(HOST_IP)/$$$$/$$1');
});

test('[KI-06] without a status port there is no hook that asks it', () => {
  const annotations = { 'status.sidecar.istio.io/port': '0' };
  const { pod: after } = injected(pod({ annotations }));
  expect(variable(after, 'WEFT_STATUS')).toBe('none');
  expect(proxyOf(after).lifecycle).toBeUndefined();
});

describe('redirection', () => {
  test("[KI-02] flags from the annotations, ours before Istio's", () => {
    const { pod: after } = injected(
      pod({
        annotations: {
          'traffic.sidecar.istio.io/includeInboundPorts': '80, 443',
          'traffic.sidecar.istio.io/excludeInboundPorts': '9000,15021',
          'traffic.sidecar.istio.io/includeOutboundPorts': '1',
          'traffic.sidecar.istio.io/excludeOutboundPorts': '5432',
          'traffic.sidecar.istio.io/includeOutboundIPRanges': '10.0.0.0/8,fd00::/8',
          'traffic.sidecar.istio.io/excludeOutboundIPRanges': '10.1.0.0/16',
          'traffic.sidecar.weft.dev/excludeOutboundIPRanges': '10.2.0.0/16',
          'traffic.sidecar.istio.io/excludeInterfaces': 'eth1',
          'traffic.sidecar.istio.io/kubevirtInterfaces': 'net0,net1',
        },
      }),
    );
    expect(redirect(after)).toBe(
      'redirect -p 15001 -z 15006 -m REDIRECT -u 1337 -g 1337 -i 10.0.0.0/8,fd00::/8 -x 10.2.0.0/16 -b 80,443 -d 15090,15021,15020,9000 -q 1 -o 5432 -c eth1 -k net0,net1',
    );
  });

  test('[KI-02] DNS capture by setting and by the name that Istio has for it', () => {
    const annotations = {
      'proxy.istio.io/config': 'proxyMetadata:\n  ISTIO_META_DNS_CAPTURE: "true"\n',
    };
    for (const { pod: after } of [
      injected(pod(), { dnsCapture: true }),
      injected(pod({ annotations })),
    ]) {
      expect(redirect(after)).toMatch(/ --redirect-dns$/);
      expect(variable(after, 'ISTIO_META_DNS_CAPTURE')).toBe('true');
    }
  });

  test('[KI-02] interception mode NONE needs no init container', () => {
    const annotations = { 'sidecar.istio.io/interceptionMode': 'NONE' };
    const { pod: after } = injected(pod({ annotations }));
    expect(names(after.spec.initContainers)).toEqual(['weft-proxy']);
    expect(variable(after, 'ISTIO_META_INTERCEPTION_MODE')).toBe('NONE');
  });

  test.each([
    ['sidecar.istio.io/interceptionMode', 'NONE'],
    ['traffic.sidecar.istio.io/includeInboundPorts', ''],
  ])(
    '[KI-08] %s: "%s" redirects nothing inbound, so nobody is told to call by mutual TLS',
    (name, value) => {
      const { pod: after } = injected(pod({ annotations: { [name]: value } }));
      expect(after.metadata!.labels).not.toHaveProperty(['security.istio.io/tlsMode']);
      expect(injected(pod()).pod.metadata!.labels).toHaveProperty(['security.istio.io/tlsMode']);
    },
  );
});

describe('annotations', () => {
  test.each<[string, string, RegExp]>([
    ['sidecar.istio.io/interceptionMode', 'TPROXY', /"TPROXY" must be one of REDIRECT, NONE/],
    ['traffic.sidecar.istio.io/excludeInboundPorts', '80,x', /"80,x" must be port numbers/],
    ['traffic.sidecar.istio.io/excludeInboundPorts', '0', /must be port numbers/],
    ['traffic.sidecar.istio.io/includeInboundPorts', '**', /must be "\*" or port numbers/],
    ['traffic.sidecar.istio.io/includeOutboundIPRanges', '10.0.0.0', /must be "\*" or networks/],
    ['traffic.sidecar.istio.io/excludeOutboundIPRanges', '10.0.0.0/33', /must be networks/],
    ['traffic.sidecar.istio.io/excludeOutboundIPRanges', 'fe80::1%eth0/64', /must be networks/],
    ['traffic.sidecar.istio.io/excludeInterfaces', '-x', /must be names of network interfaces/],
    ['sidecar.istio.io/proxyCPU', 'much', /must be a quantity/],
    ['sidecar.istio.io/proxyImage', 'a b', /must be an image reference/],
    ['sidecar.istio.io/logLevel', 'loud', /must be one of trace, debug/],
    ['sidecar.istio.io/rewriteAppHTTPProbers', 'yes', /must be "true" or "false"/],
    ['sidecar.istio.io/userVolume', '{', /must be volumes as JSON/],
    [
      'sidecar.istio.io/userVolumeMount',
      '{"a": {}}',
      /must be volume mounts, each with a mountPath/,
    ],
    [
      'sidecar.istio.io/userVolume',
      '{"weft-token": {}}',
      /names the volume "weft-token" that injection adds/,
    ],
    [
      'proxy.istio.io/config',
      'proxyMetadata: {WEFT_CONTROL_PLANE: "evil:1"}',
      /in the field proxyMetadata/,
    ],
    ['proxy.istio.io/config', 'a: &a [1]\nb: *a', /must be YAML without aliases/],
    [
      'status.sidecar.istio.io/port',
      '15021',
      /must be a port from 1 to 65535 that the sidecar does not have/,
    ],
    ['traffic.sidecar.istio.io/includeOutboundPorts', '*', /"\*" must be port numbers/],
    ['status.sidecar.istio.io/port', '65536', /must be a port from 1 to 65535/],
    ['readiness.status.sidecar.istio.io/periodSeconds', '0', /from 1 to/],
    ['proxy.istio.io/config', 'a: [', /must be YAML/],
    ['proxy.istio.io/config', 'concurrency: 2', /must be a map of .*; Weft has no concurrency/],
    ['proxy.istio.io/config', 'statusPort: x', /must be right in the field statusPort/],
    ['proxy.istio.io/config', 'proxyMetadata: {PATH: x}', /right in the field proxyMetadata/],
    ['prometheus.istio.io/scrape-targets', '80:m', /must be ports with paths/],
    ['inject.istio.io/templates', 'grpc-agent', /must be "sidecar"/],
    ['sidecar.istio.io/bootstrapOverride', 'x', /is not supported by Weft/],
    ['sidecar.istio.io/proxyCpu', '1', /did you mean sidecar\.istio\.io\/proxyCPU\?/],
    ['sidecar.weft.dev/proxyImge', 'x', /did you mean sidecar\.weft\.dev\/proxyImage\?/],
    ['traffic.sidecar.istio.io/toString', 'x', /is not an annotation that Weft knows/],
    ['istio.io/reroute-virtual-interfaces', '-', /must be names of network interfaces/],
  ])('[KI-07] %s: %s is refused [A8.8]', (name, value, message) => {
    const [problem, ...others] = refusals(pod({ annotations: { [name]: value } }));
    expect(others).toEqual([]);
    expect(problem).toMatch(message);
    expect(problem).toContain(`metadata/annotations/${name}: `);
  });

  test('[KI-07] what only diagnostics miss is warned of', () => {
    const annotations = { 'sidecar.istio.io/componentLogLevel': 'http:debug', 'other.io/x': 'y' };
    expect(injected(pod({ annotations })).warnings).toEqual([
      'annotation sidecar.istio.io/componentLogLevel has no effect: the sidecar has one level, sidecar.weft.dev/logLevel',
    ]);
  });

  test('[KI-07] the settings of the mesh can lock an annotation [A8.8]', () => {
    const settings = { lockedAnnotations: ['sidecar.istio.io/proxyImage'] };
    for (const name of ['sidecar.istio.io/proxyImage', 'sidecar.weft.dev/proxyImage']) {
      expect(refusals(pod({ annotations: { [name]: 'x' } }), settings)[0]).toMatch(/lock it/);
    }
  });

  test('[KI-07] image, log level, drain time and environment', () => {
    const annotations = {
      'sidecar.istio.io/proxyImage': 'a/b:c',
      'sidecar.istio.io/logLevel': 'debug',
      'proxy.istio.io/config':
        'terminationDrainDuration: 12s\nproxyMetadata:\n  WEFT_CERT_TTL: "60"\n',
    };
    const { pod: after } = injected(pod({ annotations }), { env: { WEFT_CERT_TTL: '1', A: 'b' } });
    const proxy = proxyOf(after);
    expect(proxy.image).toBe('a/b:c');
    expect(byName(after.spec.initContainers, 'weft-init').image).toBe('a/b:c');
    expect(proxy.args).toEqual(['proxy', '--log-level', 'debug']);
    expect(variable(after, 'WEFT_DRAIN_TIME_S')).toBe('12');
    expect(variable(after, 'WEFT_CERT_TTL')).toBe('60');
    expect(variable(after, 'A')).toBe('b');
  });

  test('[KI-07] a pod that says one amount says all of them', () => {
    expect(proxyOf(injected(pod()).pod).resources).toEqual({
      requests: { cpu: '100m', memory: '64Mi' },
      limits: { cpu: '2000m', memory: '1024Mi' },
    });
    const annotations = {
      'sidecar.istio.io/proxyCPU': '4',
      'sidecar.istio.io/proxyMemoryLimit': '256Mi',
    };
    expect(proxyOf(injected(pod({ annotations })).pod).resources).toEqual({
      requests: { cpu: '4' },
      limits: { memory: '256Mi' },
    });
  });

  test('[KI-07] volumes of the author for the sidecar', () => {
    const annotations = {
      'sidecar.istio.io/userVolume': '{"certs": {"secret": {"secretName": "s"}}}',
      'sidecar.istio.io/userVolumeMount': '[{"name": "certs", "mountPath": "/c"}]',
    };
    const before = pod({ annotations });
    const { pod: after } = injected(before);
    expect(after.spec.volumes!.at(-1)).toEqual({ name: 'certs', secret: { secretName: 's' } });
    expect(proxyOf(after).volumeMounts!.at(-1)).toEqual({ name: 'certs', mountPath: '/c' });
    expect(uninjectPod(after)).toEqual({ kind: 'restored', pod: before });
  });
});

describe("the author's own container for the sidecar", () => {
  const own = (fields: Fields, name = 'weft-proxy') => {
    const value = pod();
    value.spec.containers.push({ name, image: 'auto', ...fields });
    return value;
  };

  test.each(['weft-proxy', 'istio-proxy'])('[KI-07] %s is merged over ours', (name) => {
    const before = own(
      {
        resources: { limits: { cpu: '1' } },
        env: [
          { name: 'MINE', value: 'x' },
          { name: 'ISTIO_META_MESH_ID', value: 'y' },
        ],
        volumeMounts: [{ name: 'v', mountPath: '/v' }],
        terminationGracePeriodSeconds: 3,
      },
      name,
    );
    for (const settings of [{}, legacy]) {
      const { pod: after } = injected(before, settings);
      const proxy = proxyOf(after);
      expect(proxy).toMatchObject({
        image: 'weft:latest',
        terminationGracePeriodSeconds: 3,
        resources: { requests: { cpu: '100m' }, limits: { cpu: '1', memory: '1024Mi' } },
      });
      expect(proxy.env).toContainEqual({ name: 'MINE', value: 'x' });
      expect(proxy.env).toContainEqual({ name: 'ISTIO_META_MESH_ID', value: 'y' });
      expect(proxy.volumeMounts).toContainEqual({ name: 'v', mountPath: '/v' });
      expect(proxy.volumeMounts).toContainEqual({ name: 'weft-state', mountPath: '/var/lib/weft' });
      const all = [...names(after.spec.containers)!, ...names(after.spec.initContainers)!];
      expect(all.filter((one) => one.endsWith('-proxy'))).toEqual(['weft-proxy']);
      expect(uninjectPod(after)).toEqual({ kind: 'restored', pod: before });
      expect(injected(after, settings).pod).toEqual(after);
    }
  });

  test.each<[string, Fields]>([
    ['command', { command: ['sh'] }],
    ['runAsUser', { securityContext: { runAsUser: 0 } }],
    ['privileged', { securityContext: { privileged: true } }],
    ['name', { env: [{ name: 'NODE_OPTIONS', value: '--inspect' }] }],
    ['add', { securityContext: { capabilities: { add: ['SYS_ADMIN'] } } }],
    ['drop', { securityContext: { capabilities: { drop: ['NET_RAW'] } } }],
  ])('[KI-07] it may not change %s [A8.8]', (field, fields) => {
    const [problem] = refusals(own(fields));
    expect(problem).toMatch(new RegExp(`^spec/containers/1/.*${field}: `));
  });

  test.each(['image', 'env', 'volumeMounts', 'securityContext', 'capabilities', 'runAsUser'])(
    '[KI-07] an empty %s takes nothing of the sidecar away [A8.8]',
    (field) => {
      const fields = { env: null, image: null, securityContext: null, volumeMounts: null };
      const empty = Object.hasOwn(fields, field)
        ? { [field]: null }
        : { securityContext: { [field]: null } };
      const theirs = proxyOf(injected(own(empty)).pod);
      const { [field]: expected } = { ...proxyOf(injected(pod()).pod), ...ours() };
      expect({ ...theirs, ...theirs.securityContext }[field]).toEqual(expected);
    },
  );

  function ours(): Fields {
    const { securityContext } = proxyOf(injected(pod()).pod);
    return { ...securityContext, securityContext };
  }

  test('[KI-07] it stands once, and the list that it comes to stand in decides its restartPolicy', () => {
    const twice = own({}, 'istio-proxy');
    twice.spec.initContainers = [{ name: 'weft-proxy', restartPolicy: 'Always' }];
    expect(refusals(twice)[0]).toMatch(/^spec\/containers\/1: stands twice/);
    const once = pod({
      spec: { initContainers: [{ name: 'weft-proxy', restartPolicy: 'Always' }] },
    });
    expect(proxyOf(injected(once).pod).restartPolicy).toBe('Always');
    const { pod: older } = injected(once, legacy);
    expect(names(older.spec.containers)).toEqual(['weft-proxy', 'app']);
    expect(proxyOf(older)).not.toHaveProperty('restartPolicy');
    expect(uninjectPod(older)).toEqual({ kind: 'restored', pod: once });
  });

  test('[KI-07] it alone is no pod', () => {
    const value = pod({ container: { name: 'weft-proxy', image: 'auto' } });
    expect(refusals(value)).toEqual(['spec/containers: holds no container but the sidecar']);
  });
});

describe('pods that a sidecar cannot live in', () => {
  test.each<[string, Parts, RegExp]>([
    [
      'a port',
      { container: { ports: [{ containerPort: 15_006 }] } },
      /^spec\/containers\/0\/ports\/0\/containerPort: .*15006.*inbound traffic/,
    ],
    [
      'its user',
      { container: { securityContext: { runAsUser: 1337 } } },
      /^spec\/containers\/0\/securityContext\/runAsUser: .*go around the mesh/,
    ],
    ['its group', { container: { securityContext: { runAsGroup: 1337 } } }, /as group 1337/],
    [
      'its DNS port',
      { container: { ports: [{ containerPort: 15_053, protocol: 'UDP' }] } },
      /15053.*DNS/,
    ],
    [
      'the status port that it chose',
      {
        annotations: { 'status.sidecar.istio.io/port': '99' },
        container: { ports: [{ containerPort: 99 }] },
      },
      /listens on 99/,
    ],
    ['its user for the whole pod', { spec: { securityContext: { runAsUser: 1337 } } }, /1337/],
    [
      'a volume',
      { spec: { volumes: [{ name: 'weft-token', emptyDir: {} }] } },
      /^spec\/volumes\/0\/name/,
    ],
    [
      'the init container',
      { spec: { initContainers: [{ name: 'weft-init' }] } },
      /^spec\/initContainers\/0\/name/,
    ],
    [
      'a port of a native sidecar',
      {
        spec: {
          initContainers: [
            { name: 'a', restartPolicy: 'Always', ports: [{ containerPort: 15_001 }] },
          ],
        },
      },
      /15001/,
    ],
  ])('[KI-01] that takes %s', (_, parts, message) => {
    expect(refusals(pod(parts))[0]).toMatch(message);
  });

  test('[KI-01] a container with a user of its own is right in a pod of 1337, an init container too', () => {
    const user = { securityContext: { runAsUser: 1000 } };
    const spec = { securityContext: { runAsUser: 1337 }, initContainers: [{ name: 'setup' }] };
    expect(inject(pod({ container: user, spec })).kind).toBe('injected');
  });

  test('[KI-01] UDP on a port of which the sidecar has TCP only is right', () => {
    const container = { ports: [{ containerPort: 15_001, protocol: 'UDP' }] };
    expect(inject(pod({ container })).kind).toBe('injected');
  });

  test('[KI-03] a Job with the older form is warned of: its sidecar does not end by itself', () => {
    const workload = { apiVersion: 'batch/v1', kind: 'Job', name: 'j' };
    const older = inject(pod(), legacy, { workload });
    expect(older).toMatchObject({ warnings: [expect.stringContaining('POST /quitquitquit')] });
    expect(inject(pod(), {}, { workload })).toMatchObject({ warnings: [] });
  });

  test('deep nesting and __proto__ are refused without a stack that overflows [A8.4]', () => {
    const deep = JSON.parse(
      `{"spec": {"containers": ${'['.repeat(100_000)}${']'.repeat(100_000)}}}`,
    );
    expect(refusals(deep)).toEqual([': is nested more than 64 deep']);
    const proto = JSON.parse('{"spec": {"containers": [{"name": "a", "__proto__": {"x": 1}}]}}');
    expect(refusals(proto)).toEqual([': the key "__proto__" is not allowed']);
    expect({}).not.toHaveProperty('x');
  });

  test.each<[string, unknown]>([
    ['null', null],
    ['a list', []],
    ['no spec', { metadata: {} }],
    ['containers is a map', { spec: { containers: {} } }],
    ['a container without a name', { spec: { containers: [{}] } }],
    [
      'labels that are numbers',
      { metadata: { labels: { a: 1 } }, spec: { containers: [{ name: 'a' }] } },
    ],
    ['probes that are text', { spec: { containers: [{ name: 'a', livenessProbe: 'x' }] } }],
    ['env that is a map', { spec: { containers: [{ name: 'a', env: {} }] } }],
    ['hostNetwork that is text', { spec: { hostNetwork: 'yes', containers: [{ name: 'a' }] } }],
  ])('no pod at all: %s', (_, value) => {
    expect(refusals(value).length).toBeGreaterThan(0);
    expect(uninjectPod(value).kind).toBe('refused');
  });

  test('another dnsPolicy is warned of', () => {
    expect(injected(pod({ spec: { dnsPolicy: 'None' } })).warnings[0]).toMatch(/dnsPolicy is None/);
  });
});

describe('identity', () => {
  const owned = (kind: string, name: string, labels: Record<string, string> = {}): Pod => {
    const value = pod({ labels });
    value.metadata!.ownerReferences = [{ apiVersion: 'apps/v1', kind, name, controller: true }];
    value.metadata!.generateName = `${name}-`;
    return value;
  };

  test.each<[string, Pod, string, string]>([
    [
      'a Deployment',
      owned('ReplicaSet', 'web-6d4b75cb6d', { 'pod-template-hash': '6d4b75cb6d' }),
      'web',
      'deployments/web',
    ],
    ['a ReplicaSet by itself', owned('ReplicaSet', 'web-abc'), 'web-abc', 'replicasets/web-abc'],
    ['a StatefulSet', owned('StatefulSet', 'db'), 'db', 'statefulsets/db'],
    ['a CronJob', owned('Job', 'tidy-28912345'), 'tidy', 'cronjobs/tidy'],
    ['a Job', owned('Job', 'once'), 'once', 'jobs/once'],
    ['a bare pod', { ...pod(), metadata: { name: 'lone' } }, 'lone', 'pods/lone'],
  ])('[KI-08] the workload of %s', (_, value, name, owner) => {
    const { pod: after } = injected(value);
    expect(variable(after, 'ISTIO_META_WORKLOAD_NAME')).toBe(name);
    expect(variable(after, 'ISTIO_META_OWNER')).toMatch(
      new RegExp(`/namespaces/default/${owner}$`),
    );
    expect(after.metadata?.labels).toMatchObject({ 'service.istio.io/canonical-name': name });
  });

  test.each<[Record<string, string>, string, string]>([
    [{ app: 'a', version: 'v1' }, 'a', 'v1'],
    [
      { app: 'a', 'app.kubernetes.io/name': 'b', version: 'v1', 'app.kubernetes.io/version': 'v2' },
      'b',
      'v2',
    ],
    [
      {
        app: 'a',
        'service.istio.io/canonical-name': 'c',
        'service.istio.io/canonical-revision': 'r',
      },
      'c',
      'r',
    ],
    [{}, 'x'.repeat(63), 'latest'],
  ])('[KI-08] canonical name and revision of %j', (labels, name, revision) => {
    const value = pod({ labels });
    value.metadata!.name = 'x'.repeat(80);
    expect(injected(value).pod.metadata?.labels).toMatchObject({
      'service.istio.io/canonical-name': name,
      'service.istio.io/canonical-revision': revision,
      'security.istio.io/tlsMode': 'istio',
    });
  });

  test('[KI-08] kubectl logs and exec still mean the app', () => {
    const annotations = { 'kubectl.kubernetes.io/default-container': 'other' };
    expect(injected(pod({ annotations })).pod.metadata?.annotations).toMatchObject({
      'kubectl.kubernetes.io/default-container': 'other',
      'kubectl.kubernetes.io/default-logs-container': 'app',
    });
  });

  test('the credential is projected: a pod that mounts no service account token has it as well', () => {
    const { pod: after } = injected(pod({ spec: { automountServiceAccountToken: false } }));
    expect(after.spec.volumes).toContainEqual({
      name: 'weft-token',
      projected: {
        sources: [
          {
            serviceAccountToken: {
              audience: 'weft-ca',
              expirationSeconds: 43_200,
              path: 'weft-token',
            },
          },
        ],
      },
    });
    expect(after.spec.volumes).toContainEqual({
      name: 'weft-ca-root-cert',
      configMap: { name: 'weft-ca-root-cert' },
    });
    expect(variable(after, 'WEFT_TOKEN_FILE')).toBe('/var/run/secrets/tokens/weft-token');
  });

  test('secrets for the image are added once', () => {
    const spec = { imagePullSecrets: [{ name: 'a' }] };
    const { pod: after } = injected(pod({ spec }), { imagePullSecrets: ['a', 'b'] });
    expect(names(after.spec.imagePullSecrets)).toEqual(['a', 'b']);
    expect(uninjectPod(after)).toEqual({ kind: 'restored', pod: pod({ spec }) });
  });
});

describe('Pod Security', () => {
  const strict = {
    allowPrivilegeEscalation: false,
    runAsNonRoot: true,
    capabilities: { drop: ['ALL'] },
    seccompProfile: { type: 'RuntimeDefault' },
  };
  const app = () => pod({ container: { securityContext: strict } });

  test('[KI-07] the sidecar fits "restricted"; of what is added only the init container does not', () => {
    expect(podSecurityViolations(app(), 'restricted')).toEqual([]);
    for (const settings of [{}, legacy]) {
      const { pod: after } = injected(app(), settings);
      expect(podSecurityViolations(after, 'restricted')).toEqual([
        'weft-init: capabilities',
        'weft-init: runAsNonRoot',
        'weft-init: runAsUser',
        'weft-init: capabilities dropped',
      ]);
      expect(podSecurityViolations(after, 'baseline')).toEqual(['weft-init: capabilities']);
    }
  });

  test('[KI-07] without redirection all of it fits "restricted"', () => {
    const { pod: after } = injected(app(), { interceptionMode: 'NONE' });
    expect(podSecurityViolations(after, 'restricted')).toEqual([]);
  });

  test('the check itself sees what it should', () => {
    const bad = pod({
      container: {
        ports: [{ containerPort: 1, hostPort: 1 }],
        securityContext: { privileged: true, capabilities: { add: ['SYS_ADMIN'] } },
      },
      spec: { hostPID: true, volumes: [{ name: 'h', hostPath: { path: '/' } }] },
    });
    expect(podSecurityViolations(bad, 'baseline')).toEqual([
      'pod: hostPID',
      'pod: volume h',
      'app: privileged',
      'app: capabilities',
      'app: hostPort',
    ]);
  });
});

test('what is injected is right by the OpenAPI schema of Kubernetes', () => {
  const container = {
    livenessProbe: { grpc: { port: 1 } },
    lifecycle: { preStop: { tcpSocket: { port: 1 } } },
  };
  const annotations = { 'prometheus.io/port': '1', 'sidecar.istio.io/proxyCPU': '1' };
  for (const settings of [{}, legacy, { interceptionMode: 'NONE' as const, network: 'n' }]) {
    const { pod: after } = injected(pod({ container, annotations }), settings);
    new PodModel(after as never).validate();
    const job = { schedule: '* * * * *', jobTemplate: { spec: { template: after } } };
    new CronJob({ spec: job } as never).validate();
  }
  const wrong = { spec: { containers: [{ image: 'no name' }] } };
  expect(() => new PodModel(wrong as never).validate()).toThrow(/name/);
});

describe('again and back', () => {
  const handler = fc.constantFrom<Fields>(
    { httpGet: { path: '/x', port: 'http', httpHeaders: [] } },
    { tcpSocket: { port: 80 } },
    { grpc: { port: 1, service: '' } },
    { exec: { command: [] } },
    {},
  );
  const container = fc.record(
    {
      livenessProbe: fc.tuple(handler, fc.nat(5)).map(([of, n]) => ({ ...of, timeoutSeconds: n })),
      readinessProbe: handler,
      startupProbe: handler,
      lifecycle: fc.record({ postStart: handler, preStop: handler }, { requiredKeys: [] }),
      ports: fc.constant([{ name: 'http', containerPort: 8080 }]),
      restartPolicy: fc.constantFrom('Always', 'Never'),
      env: fc.constant([{ name: 'A', value: 'b' }]),
    },
    { requiredKeys: [] },
  );
  const containers = (all: readonly string[], min: number) =>
    fc
      .uniqueArray(fc.constantFrom(...all), { minLength: min })
      .chain((list) =>
        fc.tuple(
          ...list.map((name) => container.map((rest) => ({ ...rest, name, image: 'auto' }))),
        ),
      );
  const texts = (...keys: string[]) =>
    fc.dictionary(fc.constantFrom(...keys), fc.constantFrom('80', 'true', 'x', ''));
  const any = fc.record(
    {
      metadata: fc.record(
        {
          labels: texts('app', 'version', 'security.istio.io/tlsMode'),
          annotations: texts(
            'prometheus.io/port',
            'prometheus_io_path',
            'prometheus.io.scrape',
            'z',
          ),
        },
        { requiredKeys: [] },
      ),
      spec: fc.record(
        {
          containers: containers(['app', 'web', 'weft-proxy'], 1),
          initContainers: containers(['setup', 'log'], 0),
          volumes: fc.constantFrom([], [{ name: 'v', emptyDir: {} }]),
          imagePullSecrets: fc.constantFrom([], [{ name: 's' }]),
        },
        { requiredKeys: ['containers'] },
      ),
    },
    { requiredKeys: ['spec'] },
  );
  const numRuns = Math.max(300, Number(process.env['WEFT_FUZZ_RUNS'] ?? 0) / 10);

  test('[KI-01] fuzz: injection is pure, idempotent, independent of an earlier one, undone, and a patch', () => {
    let count = 0;
    const property = fc.property(any, fc.boolean(), fc.boolean(), (before, native, hold) => {
      const value = JSON.parse(JSON.stringify(before)) as unknown;
      const settings = {
        nativeSidecar: native,
        holdApplicationUntilProxyStarts: hold,
        imagePullSecrets: ['s', 't'],
      };
      const once = inject(value, settings);
      expect(value).toEqual(JSON.parse(JSON.stringify(before)));
      if (once.kind !== 'injected') return;
      count++;
      expect(inject(once.pod, settings)).toEqual(once);
      expect(uninjectPod(once.pod)).toEqual({ kind: 'restored', pod: value });
      expect(inject(injected(value, { nativeSidecar: !native }).pod, settings)).toEqual(once);
      expect(applyJsonPatch(value, diffJson(value, once.pod))).toEqual(once.pod);
    });
    fc.assert(property, { numRuns });
    expect(count).toBeGreaterThan(numRuns / 3);
  });

  test('[KI-01] what others changed since then stays', () => {
    const { pod: after } = injected(
      pod({ container: { livenessProbe: { tcpSocket: { port: 80 } } } }),
    );
    after.spec.containers.push({ name: 'later', image: 'x' });
    after.spec.containers[0]!.image = 'app:2';
    after.metadata!.annotations!['a'] = 'b';
    const back = uninjectPod(after);
    expect(back).toMatchObject({
      kind: 'restored',
      pod: {
        metadata: { annotations: { a: 'b' } },
        spec: {
          containers: [
            { name: 'app', image: 'app:2', livenessProbe: { tcpSocket: { port: 80 } } },
            { name: 'later' },
          ],
        },
      },
    });
  });

  test('a status that nobody wrote refuses the pod', () => {
    for (const status of ['', '{}', '[]', '{"revision": 1}', 'x'.repeat(1000)]) {
      const annotations = { 'sidecar.weft.dev/status': status };
      expect(refusals(pod({ annotations }))[0]).toMatch(/is not what injection writes/);
    }
  });

  test('a pod that was not injected is not uninjected', () => {
    expect(uninjectPod(pod())).toEqual({ kind: 'notInjected' });
  });
});
