import fc from 'fast-check';
import { expect, test } from 'vitest';
import { exchange } from '../../test/proxy-exchange.ts';
import { UNKNOWN_WORKLOAD } from '../observe/request-record.ts';
import type { DownstreamConnectionInfo } from '../tls/peer-certificate.ts';
import type { ConnectionManagerConfig } from './connection-manager-config.ts';
import { decodePeerMetadata, encodePeerMetadata, PeerMetadataCache } from './peer-metadata.ts';
import { decodeStruct, encodeStruct, type StructValue } from './struct-codec.ts';

const CLIENT = 'spiffe://cluster.local/ns/default/sa/productpage';
const SERVER = 'spiffe://cluster.local/ns/default/sa/reviews';
const MTLS: Partial<DownstreamConnectionInfo> = {
  mutualTls: true,
  tls: true,
  peerPrincipal: CLIENT,
  localPrincipal: SERVER,
  peerCertificate: {
    principal: CLIENT,
    uriSans: [CLIENT],
    dnsSans: ['pp.default'],
    ipSans: [],
    subject: 'CN=a"b,O=x',
    sha256: 'abcd',
  },
};

function xfcc(
  config: Partial<ConnectionManagerConfig>,
  info: Partial<DownstreamConnectionInfo>,
  sent = 'By=spiffe://evil;Hash=00;URI=spiffe://evil',
): string | undefined {
  const mesh = exchange({ config: { direction: 'INBOUND', ...config } });
  mesh.connect(info).get('/', [`x-forwarded-client-cert: ${sent}`]);
  return mesh.cluster('a').last.header('x-forwarded-client-cert');
}

const OURS = `By=${SERVER};Hash=abcd;URI=${CLIENT}`;

test('[SC-17] SANITIZE_SET shows the verified certificate only', () => {
  expect(xfcc({ forwardClientCert: 'SANITIZE_SET' }, MTLS)).toBe(OURS);
});

test('[SC-17] APPEND_FORWARD adds an element, FORWARD_ONLY leaves the field', () => {
  expect(xfcc({ forwardClientCert: 'APPEND_FORWARD' }, MTLS, 'By=x')).toBe(`By=x,${OURS}`);
  expect(xfcc({ forwardClientCert: 'FORWARD_ONLY' }, MTLS, 'By=x')).toBe('By=x');
});

test('[SC-17] subject and DNS names are quoted where they need it', () => {
  const config = {
    forwardClientCert: 'SANITIZE_SET' as const,
    clientCertSubject: true,
    clientCertDns: true,
  };
  expect(xfcc(config, MTLS)).toBe(
    `By=${SERVER};Hash=abcd;Subject="CN=a\\"b,O=x";URI=${CLIENT};DNS=pp.default`,
  );
});

test.each(['SANITIZE', 'FORWARD_ONLY', 'APPEND_FORWARD', 'SANITIZE_SET'] as const)(
  '[A2.1] [SC-17] %s drops the field of a client without a certificate',
  (forwardClientCert) => {
    expect(xfcc({ forwardClientCert }, {})).toBeUndefined();
  },
);

test('[A2.1] fields that only a proxy may write do not get in, in any spelling', () => {
  const mesh = exchange({ config: { direction: 'INBOUND' } });
  mesh
    .connect(MTLS)
    .get('/', [
      'x-envoy-retry-on: 5xx',
      'x-envoy-upstream-rq-timeout-ms: 1',
      'x-envoy-internal: true',
      'x-weft-principal: admin',
      'x_forwarded_client_cert: By=evil',
      'X_Envoy_Internal: true',
      'x-envoy-attempt-count: 1',
      'x-app: kept',
      'x_app: kept',
    ]);
  const { headers } = mesh.cluster('a').last;
  const names = headers.filter((_, at) => at % 2 === 0);
  expect(names.filter((name) => /envoy|weft|client/.test(name))).toEqual(['x-envoy-attempt-count']);
  expect(names).toContain('x-app');
  expect(names).toContain('x_app');
});

test('[A2.2] Connection cannot take off what the proxy adds', () => {
  const mesh = exchange({ config: { direction: 'INBOUND', forwardClientCert: 'SANITIZE_SET' } });
  mesh.connect(MTLS).get('/', ['connection: x-forwarded-client-cert, x-request-id']);
  const attempt = mesh.cluster('a').last;
  expect(attempt.header('x-forwarded-client-cert')).toBe(OURS);
  expect(attempt.header('x-request-id')).toBeDefined();
});

test('[PR-16] x-forwarded-for is left alone inside the mesh and appended at an edge', () => {
  const sent = (useRemoteAddress: boolean) => {
    const mesh = exchange({ config: { useRemoteAddress } });
    mesh.connect().get('/', ['x-forwarded-for: 1.2.3.4']);
    return mesh.cluster('a').last.header('x-forwarded-for');
  };
  expect(sent(false)).toBe('1.2.3.4');
  expect(sent(true)).toBe('1.2.3.4,10.0.0.9');
});

const NODE = {
  id: 'sidecar~10.0.0.1~productpage-v1.default~default.svc.cluster.local',
  name: 'productpage-v1-abc',
  namespace: 'default',
  clusterId: 'Kubernetes',
  workloadName: 'productpage-v1',
  labels: new Map([
    ['app', 'productpage'],
    ['version', 'v1'],
  ]),
};

test('what a sidecar says of itself is read by another', () => {
  const { value } = encodePeerMetadata(NODE);
  expect(decodePeerMetadata(value, CLIENT)).toEqual({
    workload: 'productpage-v1',
    namespace: 'default',
    app: 'productpage',
    version: 'v1',
    canonicalService: 'productpage',
    canonicalRevision: 'v1',
    cluster: 'Kubernetes',
    principal: CLIENT,
  });
});

test('inbound the peer is read on mutual TLS only, and never reaches the app', () => {
  const { id, value } = encodePeerMetadata(NODE);
  const peer = (info: Partial<DownstreamConnectionInfo>) => {
    const mesh = exchange({ config: { direction: 'INBOUND' } });
    mesh
      .connect(info)
      .get('/', [`x-envoy-peer-metadata-id: ${id}`, `x-envoy-peer-metadata: ${value}`])
      .close();
    expect(mesh.cluster('a').last.header('x-envoy-peer-metadata')).toBeUndefined();
    expect(mesh.cluster('a').last.header('x-envoy-peer-metadata-id')).toBeUndefined();
    return mesh.record.peer;
  };
  expect(peer(MTLS).workload).toBe('productpage-v1');
  expect(peer({})).toBe(UNKNOWN_WORKLOAD);
});

test('outbound the proxy names itself to mesh endpoints and to nobody else', () => {
  const fields = encodePeerMetadata(NODE);
  const mesh = exchange({ deps: { peerMetadata: fields } });
  const cluster = mesh.cluster('a');
  Object.assign(cluster.config, { tls: {} });
  cluster.endpoints[0]!.workload = { ...UNKNOWN_WORKLOAD, workload: 'reviews-v1' };
  const client = mesh.connect().get('/', ['x-envoy-peer-metadata: forged']);
  expect(cluster.last.header('x-envoy-peer-metadata')).toBe(fields.value);
  cluster.last.respond(200, ['x-envoy-peer-metadata', 'theirs']);
  expect(client.header('x-envoy-peer-metadata')).toBe('');
  expect(mesh.record.peer.workload).toBe('reviews-v1');
  client.get('/', ['x-envoy-peer-metadata: forged']);
  expect(cluster.last.endpoint.workload).toBeNull();
  expect(cluster.last.header('x-envoy-peer-metadata')).toBeUndefined();
});

test('the cache gives one object per peer and cannot be poisoned by an id', () => {
  const cache = new PeerMetadataCache();
  const { value } = encodePeerMetadata(NODE);
  const first = cache.lookup(value, CLIENT);
  expect(cache.lookup(value, CLIENT)).toBe(first);
  const other = encodePeerMetadata({ ...NODE, workloadName: 'evil' }).value;
  expect(cache.lookup(other, CLIENT).workload).toBe('evil');
  expect(cache.lookup(value, CLIENT)).toBe(first);
  expect(cache.lookup(value, 'spiffe://other').principal).toBe('spiffe://other');
});

test('fuzz: a struct survives the round trip', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 20 });
  const value: fc.Arbitrary<StructValue> = fc.oneof(
    text,
    fc.array(fc.tuple(text, text), { maxLength: 5 }).map((pairs) => new Map(pairs)),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(text, value), { maxLength: 8 }), (pairs) => {
      const fields = new Map(pairs);
      expect(decodeStruct(encodeStruct(fields))).toEqual(fields);
    }),
    { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) },
  );
});

test('fuzz: any bytes decode to a struct or to null', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const decoded = decodeStruct(bytes);
      expect(decoded === null || decoded instanceof Map).toBe(true);
    }),
    { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) },
  );
});
