import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import {
  defaultInjectionSettings,
  readInjectionSettings,
  SETTING_NAMES,
} from '../../control-plane/injector/settings.ts';
import { findHelm } from '../../test/harness/helm.ts';
import { schemaProblem } from '../../test/harness/kubernetes-schema.ts';
import { generatedFiles } from './generated-files.ts';
import type { Manifest } from './installation.ts';
import { manifests } from './manifests.ts';
import { readValues, ValuesError } from './read-values.ts';

const root = join(import.meta.dirname, '../..');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string;
};
const helm = findHelm();
const kubectl = spawnSync('kubectl', ['version', '--client']).status === 0;

/** Settings under which the objects differ most. */
const SETTINGS: readonly (readonly string[])[] = [
  [],
  ['controlPlane.replicas=1', 'webhooks.validation.enabled=false', 'networkPolicy.enabled=false'],
  [
    'monitoring.serviceMonitor.enabled=true',
    'monitoring.serviceMonitor.labels.release=prometheus',
    'monitoring.podMonitor.enabled=true',
    'controlPlane.antiAffinity=required',
    'controlPlane.podLabels.team=mesh',
    'controlPlane.podAnnotations.note=a b',
    'controlPlane.nodeSelector.pool=system',
    'controlPlane.priorityClassName=system-cluster-critical',
    'controlPlane.writesPolicies=true',
    'mesh.accessLog=/dev/stdout',
    'mesh.accessLogEncoding=JSON',
    `image.tag=@sha256:${'0'.repeat(64)}`,
    'injection.nativeSidecar=false',
    'injection.injectByDefault=true',
    'injection.revision=blue',
    'injection.revisionTags={stable,canary}',
    'injection.env.NOTE=x',
    'injection.excludeOutboundPorts=5432,6379',
  ],
  [
    'webhooks.injection.enabled=false',
    'controlPlane.antiAffinity=none',
    'webhooks.validation.failurePolicy=Ignore',
  ],
];

function installed(settings: readonly string[], namespace = 'weft-system'): readonly Manifest[] {
  return manifests({ values: readValues(settings, version), namespace, version });
}

const named = ({ kind, metadata }: Manifest) => `${kind}/${metadata.name}`;

test('the files of deploy/kubernetes and of the chart are what the code says (make manifests)', () => {
  for (const [path, text] of generatedFiles(version)) {
    expect([path, readFileSync(join(root, 'deploy', path), 'utf8') === text]).toEqual([path, true]);
  }
});

test.each(SETTINGS.map((settings) => [settings.join(' ') || 'defaults', settings] as const))(
  'every object is one that Kubernetes knows: %s',
  async (_, settings) => {
    for (const object of installed(settings)) {
      if (object.apiVersion.startsWith('monitoring.coreos.com/')) continue; // not Kubernetes' own
      expect([named(object), await schemaProblem(object)]).toEqual([named(object), '']);
    }
  },
);

test.each(SETTINGS.map((each) => [each.join(' ') || 'defaults', each] as const))(
  'the injector takes the settings of the ConfigMap: %s',
  (_, settings) => {
    const map = installed(settings).find(({ metadata }) => metadata.name === 'weft-injection')!;
    const { 'settings.json': text } = map['data'] as { 'settings.json': string };
    expect(readInjectionSettings(JSON.parse(text))).toMatchObject({ settings: {} });
  },
);

test('every setting of injection can be given as a value, with the default that it has without', () => {
  /** What follows from other values, and what an installation in one cluster has no use for. */
  const derived = [
    'image',
    'imagePullPolicy',
    'controlPlane',
    'trustDomain',
    'clusterId',
    'meshId',
    'network',
  ];
  const { injection } = readValues([], version);
  const given = [...Object.keys(injection), ...derived].sort();
  expect(given).toEqual([...SETTING_NAMES].sort());
  expect(defaultInjectionSettings()).toMatchObject(JSON.parse(JSON.stringify(injection)));
});

test('the check of types sees a wrong one', async () => {
  const service = installed([]).find(({ kind }) => kind === 'Service')!;
  const wrong = { ...service, spec: { ports: [{ port: 'http' }] } };
  expect(await schemaProblem(wrong)).toContain('port must be integer');
});

test('the control plane fits Pod Security "restricted"', () => {
  const { spec } = installed([]).find(({ kind }) => kind === 'Deployment') as unknown as {
    spec: {
      template: { spec: { securityContext: object; containers: object[]; volumes: object[] } };
    };
  };
  const pod = spec.template.spec;
  expect(pod.securityContext).toMatchObject({
    runAsNonRoot: true,
    seccompProfile: { type: 'RuntimeDefault' },
  });
  for (const container of pod.containers) {
    expect(container).toMatchObject({
      securityContext: {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      },
    });
  }
  const kinds = pod.volumes.flatMap((volume) =>
    Object.keys(volume).filter((key) => key !== 'name'),
  );
  expect(
    kinds.every((kind) => ['configMap', 'emptyDir', 'projected', 'secret'].includes(kind)),
  ).toBe(true);
});

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

test('the control plane may write nothing but status, its own objects and the root ConfigMap', () => {
  const rules = installed([])
    .filter(({ kind }) => kind === 'ClusterRole' || kind === 'Role')
    .flatMap(({ rules }) => rules as Rule[]);
  const written: string[] = [];
  for (const { apiGroups, resources, resourceNames, verbs } of rules) {
    expect([...apiGroups, ...resources, ...verbs]).not.toContain('*');
    const writes = verbs.filter((verb) => !['get', 'list', 'watch'].includes(verb));
    if (writes.length === 0) continue;
    for (const resource of resources) {
      written.push(
        `${resource}${resourceNames === undefined ? '' : ` ${resourceNames}`}: ${writes}`,
      );
    }
  }
  expect(written.sort()).toEqual([
    'configmaps weft-ca-root-cert: patch',
    'configmaps: create',
    'destinationrules/status: patch,update',
    'leases weft-leader: update',
    'leases: create',
    'mutatingwebhookconfigurations weft-injection: patch',
    'peerauthentications/status: patch,update',
    'secrets weft-ca: update',
    'secrets: create',
    'serviceentries/status: patch,update',
    'tokenreviews: create',
    'validatingwebhookconfigurations weft-validation: patch',
    'virtualservices/status: patch,update',
    'workloadentries/status: patch,update',
  ]);
});

test('two installations share no cluster-wide name but the policy kinds', () => {
  const clusterWide = (namespace: string) =>
    installed([], namespace)
      .filter(({ metadata }) => metadata.namespace === undefined)
      .map(named)
      .filter((name) => !name.startsWith('CustomResourceDefinition/'));
  const [first, second] = [clusterWide('weft-system'), clusterWide('mesh-two')];
  expect(first.length).toBe(5);
  expect(first.filter((name) => second.includes(name))).toEqual([]);
});

interface Requirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}
interface Webhook {
  readonly namespaceSelector: { readonly matchExpressions: readonly Requirement[] };
  readonly objectSelector: { readonly matchExpressions: readonly Requirement[] };
}
type Labels = Readonly<Record<string, string>>;

function selects(requirements: readonly Requirement[], labels: Labels): boolean {
  return requirements.every(({ key, operator, values = [] }) => {
    const value = labels[key];
    if (operator === 'DoesNotExist') return value === undefined;
    if (operator === 'In') return value !== undefined && values.includes(value);
    return value === undefined || !values.includes(value);
  });
}

/** Every choice of one value (or none) for each label. */
function* combinations(labels: Readonly<Record<string, readonly string[]>>): Generator<Labels> {
  const [first, ...rest] = Object.entries(labels);
  if (first === undefined) {
    yield {};
    return;
  }
  const [key, values] = first;
  for (const others of combinations(Object.fromEntries(rest))) {
    yield others;
    for (const value of values) yield { ...others, [key]: value };
  }
}

describe('[KI-01] the injection webhooks', () => {
  const { webhooks } = installed([]).find(
    ({ kind }) => kind === 'MutatingWebhookConfiguration',
  ) as unknown as { webhooks: Webhook[] };
  const matching = (namespace: Labels, pod: Labels) =>
    webhooks.filter(
      ({ namespaceSelector, objectSelector }) =>
        selects(namespaceSelector.matchExpressions, namespace) &&
        selects(objectSelector.matchExpressions, pod),
    ).length;
  const namespaces = [
    ...combinations({
      'weft.dev/injection': ['enabled', 'disabled'],
      'istio-injection': ['enabled', 'disabled'],
      'weft.dev/rev': ['default', 'canary'],
      'istio.io/rev': ['default', 'canary'],
    }),
  ];
  const pods = [
    ...combinations({
      'sidecar.weft.dev/inject': ['true', 'false'],
      'sidecar.istio.io/inject': ['true', 'false'],
      'weft.dev/rev': ['default', 'canary'],
      'istio.io/rev': ['default', 'canary'],
    }),
  ];

  test('a pod is sent to one of them at the most, whatever its labels', () => {
    let sent = 0;
    for (const namespace of namespaces) {
      for (const pod of pods) {
        const count = matching(namespace, pod);
        sent += count;
        if (count > 1) expect([namespace, pod, count]).toEqual([namespace, pod, 1]);
      }
    }
    expect(sent).toBeGreaterThan(100);
  });

  test.each<[string, Labels, Labels, number]>([
    ['no label', {}, {}, 0],
    ['namespace enabled', { 'istio-injection': 'enabled' }, {}, 1],
    ['our word for it', { 'weft.dev/injection': 'enabled' }, {}, 1],
    [
      'namespace enabled, pod refuses',
      { 'istio-injection': 'enabled' },
      { 'sidecar.istio.io/inject': 'false' },
      0,
    ],
    ['pod asks', {}, { 'sidecar.istio.io/inject': 'true' }, 1],
    [
      'pod asks in a refusing namespace',
      { 'istio-injection': 'disabled' },
      { 'sidecar.istio.io/inject': 'true' },
      0,
    ],
    ['revision of the namespace', { 'istio.io/rev': 'default' }, {}, 1],
    ['revision of another mesh', { 'istio.io/rev': 'canary' }, {}, 0],
    ['revision of the pod', {}, { 'istio.io/rev': 'default' }, 1],
    [
      'ours refuses, theirs asks',
      { 'weft.dev/injection': 'disabled', 'istio-injection': 'enabled' },
      {},
      0,
    ],
    [
      'kube-system',
      { 'istio-injection': 'enabled', 'kubernetes.io/metadata.name': 'kube-system' },
      {},
      0,
    ],
    [
      'the control plane itself',
      { 'istio-injection': 'enabled', 'kubernetes.io/metadata.name': 'weft-system' },
      {},
      0,
    ],
  ])('%s', (_, namespace, pod, expected) => {
    expect(matching(namespace, pod)).toBe(expected);
  });
});

describe('values', () => {
  const refused = (settings: string[], text = '') => {
    try {
      readValues(settings, version, text === '' ? [] : [{ file: 'values.yaml', text }]);
      return 'taken';
    } catch (error) {
      if (!(error instanceof ValuesError)) throw error;
      return error.message;
    }
  };

  test.each<[string, string[], string, string]>([
    [
      'a misspelt field',
      [],
      'controlPlane:\n  replica: 3\n',
      'values.yaml:2:3: controlPlane.replica: unknown field (did you mean replicas?)',
    ],
    [
      'a wrong type',
      [],
      'controlPlane: {replicas: many}\n',
      'values.yaml:1:26: controlPlane.replicas: ',
    ],
    ['not a map', [], '- a\n', 'values.yaml:1:1: '],
    // The control plane would not start with these.
    ['a port of the sidecar', ['injection.statusPort=15001'], '', 'injection.statusPort: must be '],
    ['ports', ['injection.excludeInboundPorts=a'], '', 'injection.excludeInboundPorts: must be '],
    ['a variable', ['injection.env.WEFT_FOO=x'], '', 'injection.env.WEFT_FOO: is none that may '],
    [
      'a lock that locks nothing',
      ['injection.lockedAnnotations=sidecar.istio.io/proxyImge'],
      '',
      'injection.lockedAnnotations[0]: is no annotation',
    ],
    ['a duplicate key', [], 'image: {tag: a, tag: b}\n', 'values.yaml:1:17: '],
    ['a setting without value', ['image.tag'], '', '--set image.tag: must read path=value'],
    [
      'a misspelt setting',
      ['image.tga=1'],
      '',
      '--set image.tga=1: image.tga: unknown field (did you mean tag?)',
    ],
    [
      'a quantity',
      ['controlPlane.resources.limits.memory=lots'],
      '',
      'must be a quantity such as 100m',
    ],
    ['a prototype', ['__proto__.x=1'], '', '--set __proto__.x=1: '],
    ['a boolean', ['networkPolicy.enabled=maybe'], '', 'must be true or false'],
  ])('%s is refused with its place', (_, settings, text, message) => {
    expect(refused(settings, text)).toContain(message);
  });

  test('later files and settings win, field by field', () => {
    const values = readValues(
      ['controlPlane.replicas=5', 'controlPlane.nodeSelector.kubernetes\\.io/os=linux'],
      version,
      [
        { file: 'a.yaml', text: 'controlPlane: {replicas: 3, logLevel: debug}\n' },
        { file: 'b.json', text: '{"controlPlane": {"replicas": 4}}' },
        { file: 'empty.yaml', text: '# nothing\n' },
      ],
    );
    expect(values.controlPlane).toMatchObject({
      replicas: 5,
      logLevel: 'debug',
      nodeSelector: { 'kubernetes.io/os': 'linux' },
    });
    expect(values.image.repository).toBe('weft');
  });
});

const documents = (text: string): Manifest[] =>
  parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest)
    .filter((object) => object !== null);

/** Helm sorts the keys of a map that it prints as JSON. */
function withParsedSettings(object: Manifest): unknown {
  const plain = JSON.parse(JSON.stringify(object)) as { data?: { 'settings.json': string } };
  return object.kind === 'ConfigMap'
    ? { ...plain, data: JSON.parse(plain.data!['settings.json']) }
    : plain;
}

describe.skipIf(helm === '')(
  'the chart (skipped where there is no helm: $WEFT_HELM or on PATH)',
  () => {
    const template = (settings: readonly string[], namespace: string) => {
      const typed = settings.flatMap((setting) => {
        if (/=(true|false|\d+|\{.*\})$/.test(setting)) return ['--set', setting];
        return ['--set-string', setting.replaceAll(',', '\\,')];
      });
      return execFileSync(
        helm,
        [
          'template',
          'weft',
          'deploy/helm/weft',
          '-n',
          namespace,
          '--kube-version',
          '1.32.0',
          '--include-crds',
          ...typed,
        ],
        { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 },
      );
    };

    test.each(SETTINGS.map((settings) => [settings.join(' ') || 'defaults', settings] as const))(
      'gives the objects of weft install: %s',
      { timeout: 60_000 },
      (_, settings) => {
        for (const namespace of ['weft-system', 'mesh-two']) {
          const expected = installed(settings, namespace).filter(
            ({ kind }) => kind !== 'Namespace',
          );
          const given = new Map(
            documents(template(settings, namespace)).map((each) => [named(each), each]),
          );
          expect([...given.keys()].sort()).toEqual(expected.map(named).sort());
          for (const object of expected) {
            expect(withParsedSettings(given.get(named(object))!)).toEqual(
              withParsedSettings(object),
            );
          }
        }
      },
    );

    test('lints, and refuses a misspelt value', { timeout: 60_000 }, () => {
      execFileSync(helm, ['lint', 'deploy/helm/weft'], { cwd: root });
      const wrong = spawnSync(
        helm,
        [
          'template',
          'weft',
          'deploy/helm/weft',
          '--kube-version',
          '1.32.0',
          '--set',
          'controlPlane.replica=3',
        ],
        { cwd: root, encoding: 'utf8' },
      );
      expect(wrong.status).not.toBe(0);
      expect(wrong.stderr).toMatch(/replica/);
    });
  },
);

describe.skipIf(!kubectl)('kubectl kustomize (skipped where there is no kubectl)', () => {
  const kustomize = (directory: string) =>
    documents(
      execFileSync('kubectl', ['kustomize', directory], {
        cwd: root,
        encoding: 'utf8',
        maxBuffer: 1 << 26,
      }),
    );

  test('gives the objects of weft install', { timeout: 60_000 }, () => {
    const expected = installed([]);
    const given = new Map(kustomize('deploy/kubernetes/base').map((each) => [named(each), each]));
    expect([...given.keys()].sort()).toEqual(expected.map(named).sort());
    for (const object of expected)
      expect(given.get(named(object))).toEqual(JSON.parse(JSON.stringify(object)));
  });

  test('adds the monitors', { timeout: 60_000 }, () => {
    const kinds = kustomize('deploy/kubernetes/monitoring').map(({ kind }) => kind);
    expect(kinds).toEqual(expect.arrayContaining(['ServiceMonitor', 'PodMonitor', 'Deployment']));
  });
});
