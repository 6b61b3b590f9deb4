import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Node } from '../../proto/gen/envoy/config/core/v3/base.ts';
import { MESH_DEFAULTS } from '../mesh/mesh-options.ts';
import { parseProxyView } from './proxy-view.ts';

const ID = 'sidecar~10.0.0.7~reviews-v1.default~default.svc.cluster.local';
const PORT = {
  number: 9080,
  protocol: 'http',
  name: 'http',
  listen: '0.0.0.0:31000',
  app: '[::1]:9080',
};

function parse(metadata: Record<string, unknown>, id = ID, userAgentName = 'weft') {
  return parseProxyView(Node.create({ id, userAgentName, metadata }), MESH_DEFAULTS);
}

test('a sidecar in explicit mode', () => {
  const parsed = parse({
    NAMESPACE: 'shop',
    SERVICE_ACCOUNT: 'reviews',
    WORKLOAD_NAME: 'reviews-v1',
    LABELS: { app: 'reviews' },
    INSTANCE_IPS: '10.0.0.7,fd00::7',
    WEFT_MODE: 'explicit',
    WEFT_OUTBOUND: '127.0.0.1:15001',
    WEFT_SERVICE: 'reviews',
    WEFT_PORTS: [PORT],
  });
  expect(parsed).toMatchObject({
    ok: true,
    view: {
      kind: 'weft',
      mode: 'explicit',
      namespace: 'shop',
      serviceAccount: 'reviews',
      host: 'reviews.shop.svc.cluster.local',
      ports: [
        {
          number: 9080,
          protocol: 'http',
          listen: { host: '0.0.0.0', port: 31_000 },
          app: { host: '::1', port: 9080 },
        },
      ],
      outbound: { host: '127.0.0.1', port: 15_001 },
      addresses: ['10.0.0.7', 'fd00::7'],
      secrets: 'ads',
    },
  });
});

test('what metadata does not say comes from the id', () => {
  expect(parse({}, ID, 'envoy')).toMatchObject({
    view: {
      kind: 'envoy',
      mode: 'redirect',
      namespace: 'default',
      workload: 'reviews-v1',
      serviceAccount: 'default',
      addresses: ['10.0.0.7'],
      secrets: 'none',
    },
  });
});

test('a stock Envoy asks for an explicit proxy in the words of Istio', () => {
  expect(parse({ INTERCEPTION_MODE: 'NONE', HTTP_PROXY_PORT: '15002' }, ID, 'envoy')).toMatchObject(
    { view: { mode: 'explicit', outbound: { host: '127.0.0.1', port: 15_002 } } },
  );
  expect(parse({ INTERCEPTION_MODE: 'NONE' })).toMatchObject({
    view: { mode: 'explicit', outbound: null },
  });
  expect(parse({ INTERCEPTION_MODE: 'REDIRECT', HTTP_PROXY_PORT: '15002' })).toMatchObject({
    view: { mode: 'redirect' },
  });
});

test('a gRPC client may call itself what it likes', () => {
  expect(parse({}, 'my client', 'gRPC Node Pure JS')).toMatchObject({
    view: { kind: 'grpc', mode: 'proxyless', namespace: 'default' },
  });
});

test.each<[string, Record<string, unknown>, string, string]>([
  ['no id', {}, '', 'must carry a node with an id'],
  ['an unknown id', {}, 'hello', 'not of the form sidecar~'],
  ['a namespace that is none', { NAMESPACE: 'A/B' }, ID, 'no DNS label'],
  ['a service that is no name', { WEFT_SERVICE: 'a b' }, ID, 'WEFT_SERVICE'],
  ['an outbound that is no address', { WEFT_OUTBOUND: '15001' }, ID, 'WEFT_OUTBOUND'],
  ['a proxy port that is none', { HTTP_PROXY_PORT: '70000' }, ID, 'HTTP_PROXY_PORT "70000"'],
  ['transparent proxying', { INTERCEPTION_MODE: 'TPROXY' }, ID, 'neither REDIRECT nor NONE'],
  ['ports that are no list', { WEFT_PORTS: {} }, ID, 'WEFT_PORTS is not a list'],
  [
    'a port out of range',
    { WEFT_PORTS: [{ ...PORT, number: 70_000 }] },
    ID,
    'WEFT_PORTS[0].number',
  ],
  ['a port twice', { WEFT_PORTS: [PORT, { ...PORT, listen: '1.1.1.1:1' }] }, ID, 'declared twice'],
  ['one listener twice', { WEFT_PORTS: [PORT, { ...PORT, number: 1 }] }, ID, 'taken by another'],
  ['labels that are no texts', { LABELS: { a: 1 } }, ID, 'LABELS.a'],
])('[A6.3] %s is refused with what was expected', (_name, metadata, id, message) => {
  const parsed = parse(metadata, id);
  expect(parsed.ok).toBe(false);
  if (!parsed.ok) expect(parsed.problem).toContain(message);
});

test('fuzz: no metadata makes it throw', () => {
  const keys = fc.constantFrom(
    'NAMESPACE',
    'LABELS',
    'WEFT_PORTS',
    'WEFT_SERVICE',
    'WEFT_OUTBOUND',
    '__proto__',
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(keys, fc.jsonValue())), fc.string(), (entries, id) => {
      const metadata: Record<string, unknown> = Object.create(null);
      for (const [key, value] of entries) metadata[key] = value;
      expect(typeof parse(metadata, id || ID).ok).toBe('boolean');
    }),
    { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) },
  );
});

test.each([
  [{}, false],
  [{ DNS_CAPTURE: 'false' }, false],
  [{ DNS_CAPTURE: 'true' }, true],
  [{ DNS_CAPTURE: true }, true],
  [{ WEFT_DNS: '127.0.0.1:15053' }, true],
  [{ DNS_CAPTURE: 'true', WEFT_DNS: 'none' }, false],
])('[DS-05] %j: its apps learn the addresses of the mesh: %j', (metadata, expected) => {
  expect(parse(metadata)).toMatchObject({ ok: true, view: { answersNames: expected } });
});
