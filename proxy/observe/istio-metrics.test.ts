import { expect, test } from 'vitest';
import { ISTIO_BUCKETS, IstioMetrics, type TrafficDirection } from './istio-metrics.ts';
import { Histogram } from './metric.ts';
import {
  type ConnectionInfo,
  RequestRecord,
  ResponseFlag,
  type WorkloadMetadata,
} from './request-record.ts';
import { StatsRegistry } from './stats.ts';

const workload = (name: string): WorkloadMetadata => ({
  workload: `${name}-v1`,
  namespace: 'default',
  app: name,
  version: 'v1',
  canonicalService: name,
  canonicalRevision: 'v1',
  cluster: 'Kubernetes',
  principal: `spiffe://cluster.local/ns/default/sa/${name}`,
});

const REVIEWS_SERVICE = {
  host: 'reviews.default.svc.cluster.local',
  name: 'reviews',
  namespace: 'default',
};

const connection = (overrides: Partial<ConnectionInfo> = {}): ConnectionInfo => ({
  localAddress: '127.0.0.1:15006',
  remoteAddress: '127.0.0.1:40000',
  requestedServerName: '',
  peerPrincipal: '',
  localPrincipal: '',
  mutualTls: false,
  ...overrides,
});

const record = (overrides: Partial<RequestRecord> = {}): RequestRecord =>
  Object.assign(new RequestRecord(0, 1000, overrides.downstream ?? connection()), {
    endMs: 1012,
    status: 200,
    bytesReceived: 20,
    bytesSent: 300,
    ...overrides,
  });

function mesh() {
  const registry = new StatsRegistry();
  const metrics = new IstioMetrics(registry, workload('productpage'), '0.1.0');
  return {
    registry,
    metrics,
    labelSets: (family: string) =>
      [...(registry.families.get(family)?.series.values() ?? [])].map(({ labels, metric }) => ({
        labels: Object.fromEntries(labels) as Record<string, string>,
        value: metric instanceof Histogram ? metric.count : metric.value,
      })),
  };
}

test('[OB-02] the client side reports all labels, with the policy left to the server side', () => {
  const { metrics, labelSets } = mesh();
  metrics.recordRequest(
    record({
      peer: workload('reviews'),
      destinationService: REVIEWS_SERVICE,
      upstreamMutualTls: true,
      upstreamPeerPrincipal: 'spiffe://cluster.local/ns/default/sa/reviews',
    }),
    'OUTBOUND',
  );
  expect(labelSets('istio_requests_total')).toEqual([
    {
      value: 1,
      labels: {
        reporter: 'source',
        source_workload: 'productpage-v1',
        source_workload_namespace: 'default',
        source_principal: 'spiffe://cluster.local/ns/default/sa/productpage',
        source_app: 'productpage',
        source_version: 'v1',
        source_canonical_service: 'productpage',
        source_canonical_revision: 'v1',
        source_cluster: 'Kubernetes',
        destination_workload: 'reviews-v1',
        destination_workload_namespace: 'default',
        destination_principal: 'spiffe://cluster.local/ns/default/sa/reviews',
        destination_app: 'reviews',
        destination_version: 'v1',
        destination_canonical_service: 'reviews',
        destination_canonical_revision: 'v1',
        destination_cluster: 'Kubernetes',
        destination_service: 'reviews.default.svc.cluster.local',
        destination_service_name: 'reviews',
        destination_service_namespace: 'default',
        request_protocol: 'http',
        response_code: '200',
        response_flags: '-',
        connection_security_policy: 'unknown',
      },
    },
  ]);
});

test('[OB-02] the server side takes identities from its own TLS session', () => {
  const { metrics, labelSets } = mesh();
  const downstream = connection({
    mutualTls: true,
    peerPrincipal: 'spiffe://cluster.local/ns/default/sa/gateway',
    localPrincipal: 'spiffe://cluster.local/ns/default/sa/productpage',
  });
  metrics.recordRequest(record({ downstream, peer: workload('gateway') }), 'INBOUND');
  const { labels } = labelSets('istio_requests_total')[0]!;
  expect(labels).toMatchObject({
    reporter: 'destination',
    source_workload: 'gateway-v1',
    source_principal: 'spiffe://cluster.local/ns/default/sa/gateway',
    destination_workload: 'productpage-v1',
    destination_principal: 'spiffe://cluster.local/ns/default/sa/productpage',
    connection_security_policy: 'mutual_tls',
  });
});

test('[OB-02] what is not known is unknown, and the revision is latest', () => {
  const { metrics, labelSets } = mesh();
  metrics.recordRequest(record({ status: 404, flags: ResponseFlag.NR }), 'INBOUND');
  const { labels } = labelSets('istio_requests_total')[0]!;
  expect(labels).toMatchObject({
    source_workload: 'unknown',
    source_principal: 'unknown',
    source_canonical_revision: 'latest',
    destination_principal: 'unknown',
    destination_service: 'unknown',
    destination_service_name: 'unknown',
    response_code: '404',
    response_flags: 'NR',
    connection_security_policy: 'none',
  });
});

test('[OB-02] traffic to no known service is told apart by its cluster, never by its Host', () => {
  const { metrics, labelSets } = mesh();
  for (const upstreamCluster of ['PassthroughCluster', 'BlackHoleCluster', 'other']) {
    metrics.recordRequest(record({ upstreamCluster, authority: 'evil.example' }), 'OUTBOUND');
  }
  const services = labelSets('istio_requests_total').map(
    ({ labels }) => labels['destination_service_name'],
  );
  expect(services).toEqual(['PassthroughCluster', 'BlackHoleCluster', 'unknown']);
  expect(JSON.stringify(labelSets('istio_requests_total'))).not.toContain('evil.example');
});

test('[OB-02] grpc_response_status stands on gRPC requests only', () => {
  const { metrics, labelSets } = mesh();
  metrics.recordRequest(record({ grpc: true, grpcStatus: 14 }), 'OUTBOUND');
  metrics.recordRequest(record({ grpc: true, grpcStatus: -1 }), 'OUTBOUND');
  metrics.recordRequest(record({ grpc: true, grpcStatus: 12345 }), 'OUTBOUND');
  metrics.recordRequest(record(), 'OUTBOUND');
  const statuses = labelSets('istio_requests_total').map(({ labels }) => [
    labels['request_protocol'],
    labels['grpc_response_status'],
  ]);
  expect(statuses).toEqual([
    ['grpc', '14'],
    ['grpc', ''],
    ['grpc', 'other'],
    ['http', undefined],
  ]);
});

test('[OB-01] duration and sizes are histograms with the buckets of Envoy', () => {
  const { registry, metrics } = mesh();
  metrics.recordRequest(record(), 'OUTBOUND');
  const sums = [
    'istio_request_duration_milliseconds',
    'istio_request_bytes',
    'istio_response_bytes',
  ].map((name) => {
    const [series] = [...registry.families.get(name)!.series.values()];
    const histogram = series!.metric as Histogram;
    expect(histogram.bounds).toBe(ISTIO_BUCKETS);
    return histogram.sum;
  });
  expect(sums).toEqual([12, 20, 300]);
});

test('[OB-01] requests that differ in one label are counted apart, equal ones together', () => {
  const { metrics, labelSets } = mesh();
  const reviews = workload('reviews');
  const variants: Partial<RequestRecord>[] = [
    { peer: reviews },
    { peer: { ...reviews } },
    { peer: reviews, status: 503 },
    { peer: reviews, status: 503, flags: ResponseFlag.UH },
    { peer: reviews, status: 503, flags: ResponseFlag.UF | ResponseFlag.URX },
    { peer: reviews, destinationService: REVIEWS_SERVICE },
    { peer: reviews, upstreamMutualTls: true },
    { peer: reviews, upstreamMutualTls: true, upstreamPeerPrincipal: 'spiffe://a/ns/b/sa/c' },
  ];
  for (let round = 0; round < 3; round += 1) {
    for (const variant of variants) metrics.recordRequest(record(variant), 'OUTBOUND');
  }
  expect(labelSets('istio_requests_total').map(({ value }) => value)).toEqual([
    6, 3, 3, 3, 3, 3, 3,
  ]);
});

test('[OB-01] TCP connections are counted opened, closed, and by their bytes', () => {
  const { metrics, labelSets } = mesh();
  const tcp = record({ status: 0, peer: workload('mongodb') });
  metrics.tcpOpened(tcp, 'OUTBOUND');
  metrics.tcpBytes(tcp, 'OUTBOUND', 100, 2000);
  metrics.tcpBytes(tcp, 'OUTBOUND', 1, 2);
  metrics.tcpClosed(tcp, 'OUTBOUND');
  expect(labelSets('istio_tcp_connections_opened_total')[0]!.value).toBe(1);
  expect(labelSets('istio_tcp_connections_closed_total')[0]!.value).toBe(1);
  expect(labelSets('istio_tcp_received_bytes_total')[0]!.value).toBe(101);
  const [sent] = labelSets('istio_tcp_sent_bytes_total');
  expect(sent!.value).toBe(2002);
  expect(sent!.labels).toMatchObject({ request_protocol: 'tcp', response_flags: '-' });
  expect(sent!.labels).not.toHaveProperty('response_code');
});

test('listeners of no direction have no Istio metrics', () => {
  const { metrics, labelSets } = mesh();
  const direction: TrafficDirection = 'UNSPECIFIED';
  metrics.recordRequest(record(), direction);
  metrics.tcpOpened(record(), direction);
  expect(labelSets('istio_requests_total')).toEqual([]);
});

test('the principal that arrives with the first certificate is used from then on', () => {
  const { metrics, labelSets } = mesh();
  metrics.recordRequest(record({ upstreamMutualTls: true }), 'OUTBOUND');
  metrics.setLocalPrincipal('spiffe://new/ns/default/sa/productpage');
  metrics.recordRequest(record({ upstreamMutualTls: true }), 'OUTBOUND');
  expect(labelSets('istio_requests_total').map(({ labels }) => labels['source_principal'])).toEqual(
    ['spiffe://cluster.local/ns/default/sa/productpage', 'spiffe://new/ns/default/sa/productpage'],
  );
});

test('[A7.4] a storm of peers and statuses ends in the series labelled other', () => {
  const registry = new StatsRegistry(200);
  const metrics = new IstioMetrics(registry, workload('productpage'), '0.1.0');
  for (let at = 0; at < 5_000; at += 1) {
    metrics.recordRequest(
      record({ peer: workload(`w${at}`), status: 100 + (at % 900) }),
      'INBOUND',
    );
  }
  const family = registry.families.get('istio_requests_total')!;
  let total = 0;
  for (const { metric } of family.series.values()) total += (metric as { value: number }).value;
  total += (family.overflow!.metric as { value: number }).value;
  expect(total).toBe(5_000);
  expect([...registry.series()].length).toBeLessThan(210);
});

test('istio_build names the version', () => {
  const { labelSets } = mesh();
  expect(labelSets('istio_build')).toEqual([
    { labels: { component: 'proxy', tag: '0.1.0' }, value: 1 },
  ]);
});
