import { describe, expect, test } from 'vitest';
import { injectPod } from '../control-plane/injector/inject.ts';
import type { Container, Pod } from '../control-plane/injector/pod.ts';
import {
  defaultInjectionSettings,
  type InjectionSettings,
  readInjectionSettings,
} from '../control-plane/injector/settings.ts';
import { parseLogLevel } from '../proxy/observe/logger.ts';
import { ownPorts } from '../proxy/status/own-ports.ts';
import { refusedTargets } from '../proxy/status/scrape-target.ts';
import { appEndpointsFromEnvironment } from '../proxy/status/status-environment.ts';
import { drainFromEnvironment } from '../proxy/xds/bootstrap/drain-environment.ts';
import { bootstrapFromEnvironment } from '../proxy/xds/bootstrap/environment.ts';
import { readSettings } from '../proxy/xds/bootstrap/settings.ts';
import { Problems } from '../proxy/xds/compile/problems.ts';
import { parseFlags } from '../redirect/flags.ts';

/**
 * What the injector writes, read by the programs that it writes it for: a pod that injection lets through must not fail
 * in its init container or its sidecar, where its author no longer looks.
 */

type Annotations = Readonly<Record<string, string>>;

function podOf(annotations: Annotations, own?: object): object {
  const containers: object[] = [{ name: 'app', image: 'app:1' }];
  if (own !== undefined) containers.push({ name: 'weft-proxy', image: 'auto', ...own });
  return { metadata: { name: 'a', annotations }, spec: { containers } };
}

const proxyMetadata = (variables: object): Annotations => ({
  'proxy.istio.io/config': `proxyMetadata: ${JSON.stringify(variables)}`,
});

function inject(pod: object, settings: Partial<InjectionSettings> = {}) {
  const all = { ...defaultInjectionSettings(), ...settings };
  return injectPod(pod, { namespace: 'shop' }, all);
}

function refusal(pod: object, settings?: Partial<InjectionSettings>): string {
  const result = inject(pod, settings);
  if (result.kind !== 'refused') return `it is ${result.kind}`;
  return result.problems.map(({ path, message }) => `${path.join('/')}: ${message}`).join('\n');
}

/** What the kubelet puts in the place of each field. */
const FIELDS: Readonly<Record<string, string>> = {
  'metadata.name': 'a-5f7d8c9b4-x2k9q',
  'metadata.namespace': 'shop',
  'status.podIP': '10.0.0.1',
  'status.podIPs': '10.0.0.1,fd00::1',
  'spec.serviceAccountName': 'a',
  'status.hostIP': '10.1.0.1',
};

/** What the programs of an injected pod say of their arguments and environment; `problems` empty = they start. */
function started(pod: object, settings?: Partial<InjectionSettings>) {
  const result = inject(pod, settings);
  if (result.kind !== 'injected') throw new Error(refusal(pod, settings));
  const { sidecar, init } = programs(result.pod);
  const variables: Record<string, string> = {};
  for (const { name, value, valueFrom } of sidecar.env ?? []) {
    const { fieldRef } = (valueFrom ?? {}) as { fieldRef?: { fieldPath: string } };
    variables[name] = fieldRef === undefined ? String(value) : FIELDS[fieldRef.fieldPath]!;
  }
  const bootstrap = bootstrapFromEnvironment({
    variables,
    hostName: 'a',
    addresses: [],
    readFile: (path) => (path.endsWith('/labels') ? 'app="a"\n' : 'text'),
  });
  const problems = bootstrap.ok ? [] : [...bootstrap.problems];
  const [role, flag, level = '', ...rest] = sidecar.args!;
  if (
    role !== 'proxy' ||
    flag !== '--log-level' ||
    parseLogLevel(level) === null ||
    rest.length > 0
  )
    problems.push(`arguments ${sidecar.args}`);
  const drain = drainFromEnvironment(variables);
  if (!drain.ok) problems.push(...drain.problems);
  const { node } = (bootstrap.ok ? bootstrap.bootstrap : { node: { metadata: {} } }) as {
    node: { metadata: Record<string, unknown> };
  };
  const sidecarSettings = readSettings(node.metadata, true, new Problems());
  const app = appEndpointsFromEnvironment(variables);
  if (!app.ok) problems.push(...app.problems);
  else {
    const bound = [[sidecarSettings.status?.port ?? 0, 'the status port']] as const;
    problems.push(...refusedTargets(app.endpoints.targets, ownPorts('redirect', bound)));
  }
  const flags = init === undefined ? null : parseFlags(init.args!.slice(1));
  if (flags?.kind === 'problems') problems.push(...flags.problems);
  const redirect = flags?.kind === 'run' ? flags.commandLine.settings : null;
  const { metadata } = node;
  return { problems, metadata, sidecarSettings, redirect, drain, warnings: result.warnings };
}

function programs({ spec }: Pod): { sidecar: Container; init: Container | undefined } {
  const all = [...spec.containers, ...(spec.initContainers ?? [])];
  const named = (wanted: string) => all.find(({ name }) => name === wanted);
  return { sidecar: named('weft-proxy')!, init: named('weft-init') };
}

describe('a pod that is injected starts', () => {
  test.each<[string, Annotations, Partial<InjectionSettings>?]>([
    ['nothing said', {}],
    [
      'no inbound port, no outbound range',
      {
        'traffic.sidecar.istio.io/includeInboundPorts': '',
        'traffic.sidecar.istio.io/includeOutboundIPRanges': '',
      },
    ],
    [
      'ranges of both families',
      {
        'traffic.sidecar.istio.io/includeOutboundIPRanges': '10.0.0.0/8,::/0',
        'traffic.sidecar.istio.io/excludeOutboundIPRanges': '::ffff:1.2.3.4/96,fd00::1/128',
      },
    ],
    [
      'interfaces',
      {
        'traffic.sidecar.istio.io/excludeInterfaces': 'eth0.5,net_1',
        'traffic.sidecar.istio.io/kubevirtInterfaces': 'eth+',
      },
    ],
    [
      'as many ports as may be',
      {
        'traffic.sidecar.istio.io/excludeInboundPorts': portsFrom(1000, 500),
        'traffic.sidecar.istio.io/excludeOutboundPorts': portsFrom(1000, 500),
      },
    ],
    ['a status port of its own', { 'status.sidecar.istio.io/port': '15099' }],
    ['no status port', { 'status.sidecar.istio.io/port': '0' }],
    [
      'metrics at the status port already',
      {
        'status.sidecar.istio.io/port': '15099',
        'prometheus.io/port': '15099',
      },
    ],
    [
      'interception mode NONE',
      { 'sidecar.istio.io/interceptionMode': 'NONE' },
      { dnsCapture: true },
    ],
    ['the longest drain', { 'proxy.istio.io/config': 'terminationDrainDuration: 86400s' }],
    [
      'variables that Istio has and Weft has not',
      proxyMetadata({
        ISTIO_META_DNS_AUTO_ALLOCATE: 'true',
        ISTIO_META_DNS_CAPTURE: 'true',
      }),
    ],
    [
      'variables of Weft',
      proxyMetadata({
        WEFT_SERVICE: 'a',
        WEFT_PORTS: '80:http',
        WEFT_APP_PROBE: 'none',
        WEFT_CERT_TTL: '60',
        WEFT_DNS_UPSTREAM: '10.0.0.10',
      }),
    ],
    ['an admin port of the mesh', {}, { env: { WEFT_ADMIN: 'none', OTHER: 'x' } }],
    ...['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'].map(
      (level): [string, Annotations] => [level, { 'sidecar.istio.io/logLevel': level }],
    ),
  ])('[KI-07] %s', (_name, annotations, settings) => {
    expect(started(podOf(annotations), settings).problems).toEqual([]);
  });

  test.each([
    ['prometheus.io/port', 'http-metrics'],
    ['prometheus.io/port', '0'],
    ['prometheus.io/port', '65536'],
    ['prometheus.io/path', '/a b'],
  ])('[OB-05] %s: %s, which nobody can scrape, ends no sidecar', (name, value) => {
    const pod = podOf({ 'prometheus.io/scrape': 'true', [name]: value });
    const { problems, warnings } = started(pod);
    expect(problems).toEqual([]);
    expect(warnings).toEqual([expect.stringMatching(/^metrics are not merged: prometheus\.io\//)]);
  });

  test('[KI-03] Istio’s way to drain until nothing is open reaches the sidecar', () => {
    const pod = podOf(
      proxyMetadata({ EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'true', MINIMUM_DRAIN_DURATION: '7s' }),
    );
    const { problems, drain } = started(pod);
    expect(problems).toEqual([]);
    expect(drain).toMatchObject({ times: { drainMs: 86_400_000, minimumMs: 7000 } });
    const short = started(podOf({ 'proxy.istio.io/config': 'terminationDrainDuration: 12s' }));
    expect(short.drain).toMatchObject({ times: { drainMs: 12_000, minimumMs: 0 } });
  });
});

test('[KI-06] ports that the kubelet asks are not redirected, even where a list names them', () => {
  const pod = podOf({
    'status.sidecar.istio.io/port': '15099',
    'traffic.sidecar.istio.io/includeInboundPorts': '80,15021,15099,15020,15090',
  });
  expect(started(pod).redirect!.inboundPorts).toEqual(['80', '15020']);
});

test('a pod of two families is served in both: redirection takes both, and nobody else listens', () => {
  const { metadata, sidecarSettings } = started(podOf({}));
  expect(metadata['INSTANCE_IPS']).toBe('10.0.0.1,fd00::1');
  const { readiness, status, prometheus } = sidecarSettings;
  expect([readiness, status, prometheus].map((address) => address?.host)).toEqual([
    '::',
    '::',
    '::',
  ]);
});

describe('[DS-05] redirection and sidecar agree about DNS, or the pod has none', () => {
  const words = [undefined, '', 'true', 'TRUE', '1', 'false', '0', 'no'];
  test.each(words.flatMap((word) => [true, false].map((mesh) => [word, mesh] as const)))(
    'the pod says %j, the mesh %s',
    (word, dnsCapture) => {
      const pod = podOf(word === undefined ? {} : proxyMetadata({ ISTIO_META_DNS_CAPTURE: word }));
      const { problems, redirect, sidecarSettings } = started(pod, { dnsCapture });
      expect(problems).toEqual([]);
      const expected = word ? /^(true|1)$/i.test(word) : dnsCapture;
      expect(redirect!.dns.kind).toBe(expected ? 'servers' : 'off');
      expect(sidecarSettings.dns).toEqual(expected ? { host: '127.0.0.1', port: 15_053 } : null);
    },
  );
});

describe('[A8.8] refused, and not left to fail or to go around the mesh', () => {
  test.each<[string, Annotations, RegExp]>([
    ['WEFT_DNS', proxyMetadata({ WEFT_DNS: 'none' }), /WEFT_DNS is set by injection/],
    ['WEFT_READINESS', proxyMetadata({ WEFT_READINESS: '0.0.0.0:1' }), /WEFT_READINESS is set/],
    ['WEFT_ADMIN', proxyMetadata({ WEFT_ADMIN: '0.0.0.0:15000' }), /WEFT_ADMIN is none that may/],
    ['unknown', proxyMetadata({ WEFT_FOO: 'x' }), /WEFT_FOO is none that may be set here/],
    ['a setting as metadata', proxyMetadata({ ISTIO_META_WEFT_MODE: 'explicit' }), /no variable/],
    ['no text', proxyMetadata({ ISTIO_META_DNS_CAPTURE: true }), /DNS_CAPTURE is no text/],
    [
      'a drain of days',
      { 'proxy.istio.io/config': 'terminationDrainDuration: 99999s' },
      /right in/,
    ],
    [
      'an alias of an interface',
      { 'traffic.sidecar.istio.io/excludeInterfaces': 'eth0:1' },
      /names/,
    ],
    ['every interface', { 'traffic.sidecar.istio.io/excludeInterfaces': '+' }, /names of network/],
    [
      'interfaces beyond the bound',
      {
        'traffic.sidecar.istio.io/excludeInterfaces': `${'eth0,'.repeat(900)}-`,
      },
      /names of network/,
    ],
    [
      'a prefix with a zero',
      {
        'traffic.sidecar.istio.io/includeOutboundIPRanges': '10.0.0.0/08',
      },
      /networks such as/,
    ],
    [
      '501 ports',
      {
        'traffic.sidecar.istio.io/excludeOutboundPorts': portsFrom(1000, 501),
      },
      /at most 500 ports/,
    ],
    [
      'the status port as the app’s',
      {
        'status.sidecar.istio.io/port': '15099',
        'prometheus.istio.io/scrape-targets': '8080,15099',
      },
      /"15099" must be a port of the app/,
    ],
    [
      'a mount over the root certificate',
      {
        'sidecar.istio.io/userVolumeMount': '{"v": {"mountPath": "/var/run/secrets/weft/"}}',
      },
      /userVolumeMount: .* must be elsewhere/,
    ],
    [
      'a mount over the program',
      {
        'sidecar.istio.io/userVolumeMount': '{"v": {"mountPath": "/x/../opt/weft/proxy.mjs"}}',
      },
      /userVolumeMount: .* must be elsewhere/,
    ],
  ])('%s', (_name, annotations, message) => {
    expect(refusal(podOf(annotations))).toMatch(message);
  });

  test.each<[string, object, RegExp]>([
    ['arguments', { args: ['cli', '--help'] }, /^spec\/containers\/1\/args: may not be set/],
    ['envFrom', { envFrom: [{ configMapRef: { name: 'x' } }] }, /1\/envFrom: may not be set/],
    [
      'DNS without its redirection',
      {
        env: [{ name: 'ISTIO_META_DNS_CAPTURE', value: 'true' }],
      },
      /env\/0\/name: ISTIO_META_DNS_CAPTURE belongs in proxyMetadata/,
    ],
    ['an unknown variable', { env: [{ name: 'WEFT_X', value: '' }] }, /env\/0\/name: WEFT_X/],
    [
      'the root certificate',
      {
        volumeMounts: [{ name: 'v', mountPath: '/var/run/secrets/weft' }],
      },
      /volumeMounts\/0\/mountPath: may not be there/,
    ],
    ['all of /var', { volumeMounts: [{ name: 'v', mountPath: '/var' }] }, /mountPath: may not be/],
  ])('the author’s own container: %s', (_name, own, message) => {
    expect(refusal(podOf({}, own))).toMatch(message);
  });

  test.each<[string, object | Annotations, string]>([
    ['image', { image: 'other:1' }, 'sidecar.istio.io/proxyImage'],
    ['resources', { resources: { limits: {} } }, 'sidecar.istio.io/proxyMemoryLimit'],
    ['env', { env: [{ name: 'A', value: 'x' }] }, 'proxy.istio.io/config'],
    ['volumeMounts', { volumeMounts: [] }, 'sidecar.istio.io/userVolumeMount'],
  ])('a lock holds for %s of the author’s own container', (field, own, locked) => {
    expect(inject(podOf({}, own)).kind).toBe('injected');
    expect(refusal(podOf({}, own), { lockedAnnotations: [locked] })).toBe(
      `spec/containers/1/${field}: may not be set: the settings of the mesh lock ${locked}`,
    );
  });

  test('a lock holds for the other name of the same annotation', () => {
    const pod = podOf({ 'istio.io/reroute-virtual-interfaces': 'net0' });
    const lockedAnnotations = ['traffic.sidecar.istio.io/kubevirtInterfaces'];
    expect(refusal(pod, { lockedAnnotations })).toMatch(/reroute-virtual-interfaces: .*lock it/);
    const read = readInjectionSettings({ lockedAnnotations: ['sidecar.weft.dev/proxyImage'] });
    const image = podOf({ 'sidecar.istio.io/proxyImage': 'other:1' });
    expect('settings' in read && refusal(image, read.settings)).toMatch(/lock it/);
  });

  test.each(['sidecar.istio.io/proxyImge', 'sidecar.istio.io/inject', 'proxyImage'])(
    'a lock that locks nothing is a mistake: %s',
    (name) => {
      expect(readInjectionSettings({ lockedAnnotations: [name] })).toMatchObject({
        problems: [{ path: ['lockedAnnotations', 0] }],
      });
    },
  );

  test.each(['WEFT_FOO', 'WEFT_READINESS', 'WEFT_DNS', 'ISTIO_META_WEFT_MODE'])(
    'the settings of the mesh may not set %s',
    (name) => {
      expect(readInjectionSettings({ env: { [name]: 'x' } })).toMatchObject({
        problems: [{ path: ['env', name] }],
      });
    },
  );
});

function portsFrom(first: number, count: number): string {
  return Array.from({ length: count }, (_, at) => first + at).join(',');
}
