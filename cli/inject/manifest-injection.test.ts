import { existsSync, globSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import { injectPod } from '../../control-plane/injector/inject.ts';
import { defaultInjectionSettings } from '../../control-plane/injector/settings.ts';
import { injectManifest, type ManifestResult, uninjectManifest } from './manifest-injection.ts';
import { SOURCE_ANNOTATION } from './undo-record.ts';
import { objectsOf, valueAt } from './workload-kind.ts';

/** Each run is a dozen injections of several documents. */
const runs = Math.max(10, Number(process.env['WEFT_FUZZ_RUNS'] ?? 0) / 100);
const FUZZ_MS = 200_000;
const settings = defaultInjectionSettings();
const legacy = { ...settings, nativeSidecar: false };
const inject = (text: string, of = settings) => injectManifest(text, 'f.yaml', 'default', of);
const uninject = (text: string) => uninjectManifest(text, 'f.yaml');

type Json = Record<string, unknown>;

/** The documents as plain values, without the record of the way back. */
function values(text: string): unknown[] {
  const read = parseAllDocuments(text, { uniqueKeys: false });
  if (!Array.isArray(read)) return [];
  return read.map((document) => {
    expect(document.errors).toEqual([]);
    const json = JSON.stringify(document.toJS({ maxAliasCount: 1000 }));
    const value: unknown = JSON.parse(json);
    for (const { workload } of objectsOf(value)) {
      const metadata = workload && (valueAt(value, [...workload.object, 'metadata']) as Json);
      const annotations = metadata?.['annotations'] as Json | undefined;
      if (annotations?.[SOURCE_ANNOTATION] === undefined) continue;
      delete annotations[SOURCE_ANNOTATION];
      if (Object.keys(annotations).length === 0) delete metadata!['annotations'];
    }
    return value;
  });
}

/** What the pure function makes of the same documents. */
function expected(text: string, of = settings): unknown[] {
  return values(text).map((value) => {
    for (const { kind, name, workload } of objectsOf(value)) {
      if (workload === undefined) continue;
      const owner = kind === 'Pod' ? undefined : { apiVersion: workload.apiVersion, kind, name };
      const context = { namespace: workload.namespace ?? 'default', workload: owner };
      const pod = valueAt(value, workload.pod) as Json;
      const result = injectPod(pod, context, of);
      if (result.kind !== 'injected') continue;
      for (const key of Object.keys(pod)) delete pod[key];
      Object.assign(pod, result.pod);
    }
    return value;
  });
}

/** All that must hold of any manifest that is right. */
function holds(text: string): ManifestResult {
  const once = inject(text);
  expect(once.problems).toEqual([]);
  expect(uninject(once.text).text).toBe(text);
  expect(inject(once.text).text).toBe(once.text);
  expect(values(once.text)).toEqual(expected(text));
  const other = inject(once.text, legacy);
  expect(other.text).toBe(inject(text, legacy).text);
  expect(values(other.text)).toEqual(expected(text, legacy));
  expect(uninject(other.text).text).toBe(text);
  return once;
}

const samples = '../shared/data/istio-samples';
const files = existsSync(samples) ? globSync('**/*.{yaml,yml}', { cwd: samples }).sort() : [];

describe.skipIf(files.length === 0)("Istio's samples (skipped where they are not at hand)", () => {
  test.each(files)('[KI-01] %s comes back byte for byte', (file) => {
    const text = readFileSync(`${samples}/${file}`, 'utf8');
    const once = inject(text);
    if (once.problems.length > 0) {
      // The one sample for gRPC without a proxy.
      expect(once.problems[0]!.message).toBe('"grpc-agent" must be "sidecar"');
      return;
    }
    holds(text);
  });

  test('[KI-01] of bookinfo only lines that injection adds are new, and metrics annotations change', () => {
    const text = readFileSync(`${samples}/bookinfo/platform/kube/bookinfo.yaml`, 'utf8');
    const { text: after, reports } = inject(text);
    expect(reports.filter(({ outcome }) => outcome === 'injected')).toHaveLength(6);
    const lines = after.split('\n');
    let at = 0;
    const gone = text.split('\n').filter((line) => {
      const found = lines.indexOf(line, at);
      if (found >= 0) at = found + 1;
      return found < 0;
    });
    expect(gone).toEqual([
      '        prometheus.io/port: "9080"',
      '        prometheus.io/path: "/metrics"',
    ]);
  });
});

const head = 'apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: x\n';
const probe = 'livenessProbe: {httpGet: {path: /live, port: 80}}';

test.each([
  [
    'lists at the column of their key',
    `${head}spec:\n  template:\n    spec:\n      containers:\n      - name: a\n        ${probe}\n`,
  ],
  [
    'indented lists',
    `${head}spec:\n  template:\n    spec:\n      containers:\n        - name: a\n          image: b # why\n`,
  ],
  [
    'four columns',
    'apiVersion: v1\nkind: Pod\nmetadata:\n    name: x\nspec:\n    containers:\n        -   name: a\n            image: b\n        # the end\n',
  ],
  [
    'no line end at the end',
    `${head}spec:\n  template:\n    spec:\n      containers:\n      - name: a`,
  ],
  [
    'CRLF',
    `${head}spec:\n  template:\n    spec:\n      containers:\n      - name: a\n        ${probe}\n`.replaceAll(
      '\n',
      '\r\n',
    ),
  ],
  ['a byte order mark', `\ufeff${head}spec: {template: {spec: {containers: [{name: a}]}}}\n`],
  [
    'markers, directives and comments',
    `%YAML 1.2\n# above\n--- # here\n${head}spec:\n  template:\n    spec:\n      containers:\n      - name: a\n# below\n...\n# after\n---\n# nothing\n---\nkind: ConfigMap\napiVersion: v1\n`,
  ],
  [
    'flow maps',
    `apiVersion: v1\nkind: Pod\nmetadata: {name: x, annotations: {}}\nspec: {containers: [{name: a, ${probe}}], volumes: []}\n`,
  ],
  [
    'flow maps over lines',
    'apiVersion: v1\nkind: Pod\nmetadata: {\n  name: x, # its name\n  labels: {\n    a: b,\n  },\n}\nspec: {\n  containers: [\n    {name: a},\n  ],\n}\n',
  ],
  [
    'JSON',
    '{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"},"spec":{"containers":[{"name":"a"}]}}',
  ],
  [
    'JSON over lines',
    JSON.stringify(
      {
        kind: 'Pod',
        apiVersion: 'v1',
        metadata: { name: 'x' },
        spec: {
          initContainers: [{ name: 'i' }],
          containers: [{ name: 'a', readinessProbe: { grpc: { port: 9 } } }],
        },
      },
      null,
      2,
    ),
  ],
  [
    'JSON with tabs',
    JSON.stringify(
      {
        kind: 'Pod',
        apiVersion: 'v1',
        metadata: { name: 'x' },
        spec: { containers: [{ name: 'a', args: ['a\tb'] }] },
      },
      null,
      '\t',
    ),
  ],
  [
    'absent values',
    `${head}spec:\n  template:\n    metadata:\n    spec:\n      volumes: # none\n      initContainers: ~\n      containers:\n      - name: a\n`,
  ],
  [
    'null labels',
    `${head}spec:\n  template:\n    metadata:\n      labels:\n      annotations: null # c\n    spec:\n      containers:\n      - name: a\n`,
  ],
  [
    'block scalars at the end',
    `${head}spec:\n  template:\n    spec:\n      containers:\n      - name: a\n        args:\n        - |+\n          # not a comment\n          text\n\n\n`,
  ],
  [
    'a block scalar at the very end',
    `${head}spec:\n  template:\n    spec:\n      containers:\n      - name: a\n        command: [sh]\n        args:\n        - |\n          text`,
  ],
  [
    'plain text over lines',
    `${head}spec:\n  template:\n    spec:\n      containers:\n      - name: a\n        image: b\n        args: [x,\n          y]\n        workingDir: some\n          where\n`,
  ],
  [
    'comments above the first init container',
    `${head}spec:\n  template:\n    spec:\n      initContainers: # first\n      # of a\n\n      - name: a\n      # of b\n      - name: b\n      containers:\n      - name: a\n`,
  ],
  [
    'labels by alias',
    `${head}spec:\n  selector:\n    matchLabels: &labels\n      app: x\n  template:\n    metadata:\n      labels: *labels\n    spec:\n      containers:\n      - name: a\n`,
  ],
  [
    'labels with an anchor',
    `${head}spec:\n  template:\n    metadata:\n      labels: &labels\n        app: x\n    spec:\n      containers:\n      - name: a\n  selector:\n    matchLabels: *labels\n`,
  ],
  [
    'probes by alias',
    `${head}spec:\n  template:\n    spec:\n      containers:\n      - name: a\n        livenessProbe: &probe\n          httpGet:\n            path: /p\n            port: 80\n        readinessProbe: *probe\n`,
  ],
  [
    'an anchor on a replaced text',
    `${head}spec:\n  template:\n    metadata:\n      annotations:\n        prometheus.io/port: &port "9080"\n        other: *port\n    spec:\n      containers:\n      - name: a\n`,
  ],
  [
    'an anchor on an empty map',
    `${head}spec:\n  template:\n    metadata:\n      annotations: &none {}\n      labels: *none\n    spec:\n      containers:\n      - name: a\n`,
  ],
  [
    'probes in block maps',
    `${head}spec:\n  template:\n    spec:\n      containers:\n      - livenessProbe:\n          # how\n          tcpSocket: # where\n            port: 80 # http\n          periodSeconds: 3\n        lifecycle: {preStop: {httpGet: {path: /bye, port: 80}}}\n        name: a\n`,
  ],
  [
    'odd spellings of annotations',
    `${head}spec:\n  template:\n    metadata:\n      annotations:\n        prometheus-io-port: '80'\n        "prometheus.io/path": |\n          /metrics\n        a: b\n    spec:\n      containers:\n      - name: a\n`,
  ],
  [
    'all annotations taken',
    `${head}spec:\n  template:\n    metadata:\n      annotations:\n        prometheus-io-port: '80'\n    spec:\n      containers:\n      - name: a\n`,
  ],
  [
    'an own container for the sidecar first',
    `${head}spec:\n  template:\n    spec:\n      containers:\n      - name: weft-proxy # mine\n        image: auto\n        resources: {limits: {cpu: "1"}}\n      # app\n      - name: a\n`,
  ],
  [
    'an own container for the sidecar last',
    `${head}spec:\n  template:\n    spec:\n      containers:\n      - name: a\n      - name: istio-proxy\n        image: auto\n`,
  ],
  [
    'explicit keys',
    `? apiVersion\n: v1\n? kind\n: Pod\nmetadata: {name: x}\nspec:\n  ? containers\n  : - name: a\n`,
  ],
  [
    'quoted keys',
    `"apiVersion": v1\n'kind': Pod\n"metadata": {name: x}\n"spec":\n  "containers":\n  - "name": a\n`,
  ],
  [
    'lists of lists beside',
    `${head}spec:\n  template:\n    spec:\n      containers:\n      - name: a\n        x-y:\n        - - a\n          - b\n        -\n          - c\n`,
  ],
  [
    'a dash on its own line',
    `${head}spec:\n  template:\n    spec:\n      containers:\n      -\n        name: a\n        ${probe}\n      -\n        name: b\n`,
  ],
  [
    'a CronJob',
    'apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: x}\nspec:\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          containers:\n          - name: a\n          restartPolicy: Never\n',
  ],
  [
    'a List',
    'apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: one # of three\n  # its spec\n  spec:\n    containers:\n    - name: a\n- apiVersion: v1\n  kind: Service\n  metadata: {name: two}\n- apiVersion: apps/v1\n  kind: StatefulSet\n  metadata: {name: three}\n  spec: {template: {spec: {containers: [{name: b}]}}}\n',
  ],
  [
    'unusual text',
    `${head}spec:\n  template:\n    metadata:\n      annotations:\n        e: "\\u2028\\x07\\ud83d\\ude00 é 漢"\n        t: "a\tb"\n        prometheus.io/path: "/é\\u0085"\n    spec:\n      containers:\n      - name: a\n`,
  ],
])('[KI-01] injected and back: %s', (what, text) => {
  const { reports, text: after } = holds(text);
  // Written anew only where the layout is beyond editing; else no comment is lost.
  if (what !== 'explicit keys') {
    const replaced = ['# where', '# http', '# mine']; // inside of what is taken away
    const comments = (text.match(/# .*/g) ?? []).filter((one) => !replaced.includes(one));
    for (const comment of comments) expect(after).toContain(comment);
  }
  expect(reports.some(({ outcome }) => outcome === 'injected')).toBe(true);
});

test.each([
  ['nothing', ''],
  ['only comments', '# a\n---\n# b\n'],
  ['other kinds', 'kind: Service\napiVersion: v1\n---\n{}\n---\n[1, 2]\n---\ntext\n'],
  [
    'tags and merge keys of others',
    'kind: Stack\napiVersion: x/v1\na: !Ref b\nc: &c {}\nd: {<<: *c}\n',
  ],
  [
    'Deployments of somebody else',
    'kind: Deployment\napiVersion: cloud.example/v1\nspec: {template: {spec: {containers: []}}}\n',
  ],
  [
    'pods that say no',
    'kind: Pod\napiVersion: v1\nmetadata: {name: a, labels: {sidecar.istio.io/inject: "false"}}\nspec: {containers: [{name: a}]}\n',
  ],
  [
    'host network',
    'kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec: {hostNetwork: true, containers: [{name: a}]}\n',
  ],
  [
    'system namespaces',
    'kind: Pod\napiVersion: v1\nmetadata: {name: a, namespace: kube-system}\nspec: {containers: [{name: a}]}\n',
  ],
])('a text with no pod to inject stays as it is: %s', (_, text) => {
  expect(inject(text)).toMatchObject({ text, problems: [] });
  expect(uninject(text)).toMatchObject({ text, problems: [] });
});

test.each([
  ['a syntax error', 'kind: Pod\napiVersion: v1\nspec: {a\n', /^f\.yaml:/],
  [
    'a key twice',
    'kind: Pod\napiVersion: v1\nkind: Pod\n',
    'the key "kind" stands twice in one map',
  ],
  ['__proto__', 'kind: Pod\napiVersion: v1\n__proto__: {}\n', 'the key "__proto__" is not allowed'],
  [
    'merge keys',
    'kind: Pod\napiVersion: v1\na: &a {}\nspec: {<<: *a}\n',
    'merge keys (<<) are not supported; write the fields out',
  ],
  ['tags', 'kind: Pod\napiVersion: v1\nspec: !x {}\n', 'Unresolved tag: !x'],
  [
    'a syntax error behind the document',
    'kind: Pod\napiVersion: v1\nspec:\n  containers:\n  - name: a\n    b] {c: {d: 1}}\n',
    'Unexpected flow-map-end token in YAML stream: "}"',
  ],
  [
    'metadata that is text',
    'kind: Job\napiVersion: batch/v1\nmetadata: x\nspec: {template: {spec: {containers: [{name: a}]}}}\n',
    'must be a map',
  ],
  [
    'no containers',
    'kind: Pod\napiVersion: v1\nspec: {containers: []}\n',
    'is required: a pod has one container at least',
  ],
  [
    'hostNetwork in the words of YAML 1.1',
    'kind: Pod\napiVersion: v1\nspec: {hostNetwork: yes, containers: [{name: a}]}\n',
    'must be true or false',
  ],
  [
    'a bad annotation',
    'kind: Pod\napiVersion: v1\nmetadata: {annotations: {sidecar.istio.io/proxyCpu: 1m}}\nspec: {containers: [{name: a}]}\n',
    /did you mean sidecar\.istio\.io\/proxyCPU/,
  ],
])('%s is a problem with its place', (_, text, message) => {
  const { problems, text: after } = inject(text);
  expect(after).toBe(text);
  expect(problems[0]).toMatchObject({ file: 'f.yaml', line: expect.any(Number) });
  const { file, line, column } = problems[0]!;
  expect(line).toBeGreaterThan(0);
  const said =
    typeof message === 'string'
      ? problems[0]!.message
      : `${file}:${line}:${column}: ${problems[0]!.message}`;
  if (typeof message === 'string') expect(said).toBe(message);
  else expect(said).toMatch(message);
});

test('a large List is edited item by item, in time that grows with it', {
  timeout: FUZZ_MS,
}, () => {
  const item = (at: number) =>
    `- apiVersion: v1\n  kind: Pod\n  metadata: {name: p${at}} # ${at}\n  spec:\n    containers:\n    - name: a\n`;
  const list = (count: number) =>
    `apiVersion: v1\nkind: List\nitems:\n${Array.from({ length: count }, (_, at) => item(at)).join('')}`;
  const timed = (text: string) => {
    const start = performance.now();
    const { text: after, problems } = inject(text);
    expect(problems).toEqual([]);
    expect(after).toContain('# 7\n');
    expect(uninject(after).text).toBe(text);
    return performance.now() - start;
  };
  timed(list(10));
  const small = timed(list(10));
  expect(timed(list(120))).toBeLessThan(80 * small);
});

test('what a file says cannot move the cursor of the terminal [A7.3]', () => {
  const text = `kind: Pod\napiVersion: v1\nspec:\n  containers:\n  - name: "a\\e[2J"\n    ports: [{containerPort: 15001}]\n`;
  expect(inject(text).problems[0]!.message).toContain('a\\u001b[2J');
});

test('an alias bomb costs nothing', () => {
  const levels = Array.from(
    { length: 30 },
    (_, at) => `l${at + 1}: &l${at + 1} [${Array(9).fill(`*l${at}`).join(', ')}]`,
  );
  const text = `kind: Pod\napiVersion: v1\nl0: &l0 [x]\n${levels.join('\n')}\n`;
  expect(inject(text).problems[0]!.message).toBe('uses more than 100 aliases');
});

test('a text that was edited after injection loses what was injected and keeps the edits', () => {
  const text = `${head}spec:\n  template:\n    spec:\n      containers:\n      - name: a # app\n        ${probe}\n`;
  const edited = inject(text).text.replace('name: x', 'name: y').replace('# app', '# the app');
  const back = uninject(edited);
  expect(back.reports).toMatchObject([{ outcome: 'uninjected' }]);
  expect(values(back.text)).toEqual(values(text.replace('name: x', 'name: y')));
  expect(back.text).toContain('- name: a # the app\n');
  expect(back.text).not.toContain('weft');
  expect(inject(edited).problems).toEqual([]);
  expect(uninject(inject(edited).text).text).toBe(back.text);
});

test('what comes from the cluster, written anew, is uninjected by what the pod says of itself', () => {
  const text = `${head}spec:\n  template:\n    metadata:\n      annotations: {prometheus.io/port: "80"}\n    spec:\n      containers:\n      - name: a\n        ${probe}\n`;
  const [object] = values(inject(text).text);
  for (const form of [JSON.stringify(object), JSON.stringify(object, null, 4), stringify(object)]) {
    expect(values(uninject(form).text)).toEqual(values(text));
  }
});

test('a record that leads to another pod than the status says is not followed', () => {
  const one = inject(`${head}spec: {template: {spec: {containers: [{name: a}]}}}\n`).text;
  const forged = one.replace('name: x', 'name: z');
  expect(uninject(forged).text).toContain('name: z');
});

test('a status that nobody wrote is refused with its place', () => {
  const text = `kind: Pod\napiVersion: v1\nmetadata:\n  annotations:\n    sidecar.weft.dev/status: "{}"\nspec: {containers: [{name: a}]}\n`;
  for (const result of [inject(text), uninject(text)]) {
    expect(result.problems[0]).toMatchObject({ line: 5, column: 30 });
    expect(result.text).toBe(text);
  }
});

/** One manifest in many hands. */
const layout = fc.record({
  indentSeq: fc.boolean(),
  indent: fc.constantFrom(2, 3, 4),
  flowDepth: fc.constantFrom(0, 0, 1, 3, 5, 99),
  quotes: fc.constantFrom('PLAIN', 'QUOTE_SINGLE', 'QUOTE_DOUBLE'),
  crlf: fc.boolean(),
  lastLine: fc.boolean(),
  comments: fc.array(fc.nat(80), { maxLength: 12 }),
  bom: fc.boolean(),
});

const text = fc.constantFrom(
  'a',
  'true',
  '8080',
  ' x',
  'a: b',
  '#c',
  "it's",
  'a\nb',
  'a\n\n',
  '',
  '-',
);
const name = fc.constantFrom('app', 'web', 'log', 'db');
const handler = fc.constantFrom(
  { httpGet: { path: '/x', port: 80 } },
  {
    httpGet: {
      path: '/y',
      port: 'http',
      scheme: 'HTTPS',
      httpHeaders: [{ name: 'A', value: 'b' }],
    },
  },
  { tcpSocket: { port: 80 } },
  { grpc: { port: 9000, service: 's' } },
  { exec: { command: ['true'] } },
);
const maybe = <Value>(key: string, value: fc.Arbitrary<Value>) =>
  fc.option(value).map((of) => (of === null ? {} : { [key]: of }));
const container = fc
  .tuple(
    maybe('image', fc.constantFrom('i', 'i:1')),
    maybe('args', fc.array(text, { maxLength: 3 })),
    maybe('ports', fc.constant([{ name: 'http', containerPort: 80 }])),
    maybe(
      'livenessProbe',
      fc.tuple(handler, maybe('periodSeconds', fc.nat(9))).map(([a, b]) => ({ ...a, ...b })),
    ),
    maybe(
      'lifecycle',
      handler.map((preStop) => ({ preStop })),
    ),
    maybe('env', fc.array(fc.record({ name: fc.constant('E'), value: text }), { maxLength: 2 })),
  )
  .map((parts) => Object.assign({}, ...parts) as Json);
const containers = (min: number) =>
  fc
    .uniqueArray(name, { minLength: min, maxLength: 3 })
    .chain((names) =>
      fc.tuple(...names.map((of) => container.map((rest) => ({ name: of, ...rest })))),
    );
const pod = fc
  .tuple(
    maybe(
      'labels',
      fc.dictionary(fc.constantFrom('app', 'version', 'x/y'), fc.constantFrom('a', 'b-c')),
    ),
    maybe(
      'annotations',
      fc.dictionary(
        fc.constantFrom('prometheus.io/port', 'prometheus_io_path', 'prometheus.io/scrape', 'z'),
        text,
      ),
    ),
    containers(1),
    maybe('initContainers', containers(0)),
    maybe(
      'volumes',
      fc.array(fc.record({ name: fc.constantFrom('v', 'w'), emptyDir: fc.constant({}) }), {
        maxLength: 2,
      }),
    ),
    maybe('imagePullSecrets', fc.constant([])),
  )
  .map(([labels, annotations, own, ...rest]) => ({
    metadata: { ...labels, ...annotations },
    spec: Object.assign({ containers: own }, ...rest) as Json,
  }));
const object = fc
  .tuple(pod, fc.constantFrom('Pod', 'Deployment', 'CronJob', 'Service'))
  .map(([of, kind]) => {
    const metadata = { name: 'x' };
    if (kind === 'Pod')
      return { apiVersion: 'v1', kind, ...of, metadata: { ...metadata, ...of.metadata } };
    if (kind === 'Deployment')
      return { apiVersion: 'apps/v1', kind, metadata, spec: { replicas: 1, template: of } };
    if (kind === 'CronJob') {
      return {
        apiVersion: 'batch/v1',
        kind,
        metadata,
        spec: { jobTemplate: { spec: { template: of } }, schedule: 'x' },
      };
    }
    return { apiVersion: 'v1', kind, metadata, spec: { ports: [] } };
  });
const document = fc.oneof(
  { weight: 4, arbitrary: object },
  {
    weight: 1,
    arbitrary: fc
      .array(object, { maxLength: 3 })
      .map((items) => ({ apiVersion: 'v1', kind: 'List', items })),
  },
);

type Layout = typeof layout extends fc.Arbitrary<infer Of> ? Of : never;

function write(value: unknown, style: Layout): string {
  let written: string;
  if (style.flowDepth === 99) written = `${JSON.stringify(value, null, style.indent - 2)}\n`;
  else {
    const plain = style.quotes as 'PLAIN';
    written = stringify(value, {
      indentSeq: style.indentSeq,
      indent: style.indent,
      defaultStringType: plain,
      lineWidth: 60,
      collectionStyle: style.flowDepth === 5 ? 'flow' : 'any',
      aliasDuplicateObjects: style.flowDepth === 3,
    });
    const lines = written.split('\n');
    const safe = !/[|>][+-]?$/m.test(written) && !/["'][^"'\n]*$/m.test(written);
    for (const at of safe ? style.comments : []) {
      if (at < lines.length - 1) lines.splice(at, 0, `${' '.repeat(at % 7)}# comment ${at}`);
    }
    written = lines.join('\n');
  }
  return written;
}

test('[KI-01] fuzz: manifests in many layouts come back byte for byte, and mean what the pure function says', {
  timeout: FUZZ_MS,
}, () => {
  let injected = 0;
  const property = fc.property(
    fc.array(document, { minLength: 1, maxLength: 3 }),
    layout,
    (objects, style) => {
      let all = objects.map((value) => write(structuredClone(value), style)).join('---\n');
      const bad = parseAllDocuments(all);
      fc.pre(Array.isArray(bad) && bad.every(({ errors }) => errors.length === 0));
      if (style.crlf) all = all.replaceAll('\n', '\r\n');
      if (style.lastLine) all = all.replace(/\r?\n$/, '');
      if (style.bom) all = `\ufeff${all}`;
      const probe = inject(all);
      if (probe.problems.length > 0) {
        expect(probe.text).toBe(all);
        return;
      }
      injected += holds(all).reports.length;
    },
  );
  fc.assert(property, { numRuns: runs });
  expect(injected).toBeGreaterThan(runs / 10);
});

test('[KI-01] fuzz: texts that were mangled end in a result or a problem with its place, never in a throw', {
  timeout: FUZZ_MS,
}, () => {
  const whole = [
    `${head}spec:\n  template:\n    metadata:\n      annotations: {a: &x b, c: *x}\n    spec:\n      containers:\n      - name: a\n        ${probe}\n`,
    inject(
      `${head}spec:\n  template:\n    spec:\n      containers:\n      - name: a\n        ${probe}\n`,
    ).text,
    JSON.stringify({ apiVersion: 'v1', kind: 'Pod', spec: { containers: [{ name: 'a' }] } }),
  ];
  const pieces = [
    '\n',
    ' ',
    '  ',
    '- ',
    ': ',
    '{',
    '}',
    '[',
    ']',
    '"',
    "'",
    '#',
    '&a ',
    '*a',
    '|\n',
    '\t',
    '---\n',
    '? ',
    '!x ',
    'null',
    '<<: ',
    '\r',
  ];
  const cut = fc.tuple(fc.nat(6000), fc.nat(40), fc.constantFrom(...pieces, ''));
  const property = fc.property(
    fc.constantFrom(...whole),
    fc.array(cut, { minLength: 1, maxLength: 3 }),
    (text, cuts) => {
      let mangled = text;
      for (const [at, length, piece] of cuts) {
        const from = at % (mangled.length + 1);
        mangled = mangled.slice(0, from) + piece + mangled.slice(from + (length % 7));
      }
      for (const result of [inject(mangled), uninject(mangled)]) {
        for (const { line, column, message } of result.problems) {
          expect(line * column).toBeGreaterThan(0);
          expect(message).not.toBe('');
        }
        if (result.problems.length > 0) continue;
        const { text: again, problems } = inject(result.text);
        if (problems.length === 0 && result.reports.some(({ outcome }) => outcome === 'injected')) {
          expect(again).toBe(result.text);
        }
      }
      const { text: after, problems } = inject(mangled);
      const plain = !mangled.includes('sidecar.weft.dev');
      if (plain && problems.length === 0) expect(uninject(after).text).toBe(mangled);
    },
  );
  fc.assert(property, { numRuns: runs * 4 });
});
