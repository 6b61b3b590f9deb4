import { FloodCounters } from '../http2/flood-counters.ts';
import { Counter } from '../observe/metric.ts';
import type { PlannedSeries, SeriesPlan } from '../observe/series-group.ts';
import type { StatName, StatsScope } from '../observe/stats.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import type { ExchangeEvent } from './upstream.ts';

/** What a cluster counts of its connections and requests (OB-06). Made with the first one: few clusters of a large mesh have any. */
export class ClusterStats {
  readonly connectionsTotal = new Counter();
  readonly connectionsHttp1 = new Counter();
  readonly connectionsHttp2 = new Counter();
  readonly connectFails = new Counter();
  readonly connectTimeouts = new Counter();
  readonly connectionsDestroyed = new Counter();
  readonly connectionsOverflow = new Counter();
  readonly connectionsIdleTimeout = new Counter();
  readonly connectionsMaxRequests = new Counter();
  readonly connectionsProtocolError = new Counter();
  readonly connectionsCloseNotify = new Counter();
  readonly keepaliveTimeouts = new Counter();
  readonly connectionsNoneHealthy = new Counter();
  readonly bytesReceived = new Counter();
  readonly bytesSent = new Counter();
  readonly requestsTotal = new Counter();
  readonly requestsCompleted = new Counter();
  readonly requestsPendingTotal = new Counter();
  readonly requestsPendingOverflow = new Counter();
  readonly requestsPendingFailureEject = new Counter();
  readonly requestsRetry = new Counter();
  readonly requestsRetryOverflow = new Counter();
  readonly tlsFails = new Counter();
  readonly events: Readonly<Record<ExchangeEvent, Counter>> = {
    retrySuccess: new Counter(),
    retryLimitExceeded: new Counter(),
    timeout: new Counter(),
    perTryTimeout: new Counter(),
    maxDuration: new Counter(),
  };
  readonly floods: FloodCounters;
  /** By first digit of the status: index 1 to 5. */
  readonly responses: readonly Counter[] = Array.from({ length: 6 }, () => new Counter());
  readonly #scope: StatsScope;

  /** `scope`: for the series that a cluster has only when there is something to count. */
  constructor(scope: StatsScope) {
    this.#scope = scope;
    this.floods = new FloodCounters(scope);
  }

  /** `status` 100 to 599; 0 and others count as no response. */
  countResponse(status: number): void {
    const digit = Math.floor(status / 100);
    if (digit < 1 || digit > 5) return;
    this.requestsCompleted.value++;
    this.responses[digit]!.value++;
  }

  close(): void {
    this.#scope.close();
  }
}

/** What a cluster counts of its own changes. */
export class ClusterUpdates {
  readonly membershipChange = new Counter();
  readonly updateSuccess = new Counter();
  readonly updateFailure = new Counter();
}

/** What the series of a cluster are read from. */
export interface ClusterNumbers {
  /** Null where there was no traffic. */
  readonly madeStats: ClusterStats | null;
  readonly updates: ClusterUpdates;
  readonly breaker: CircuitBreaker;
  readonly membershipTotal: number;
  readonly membershipHealthy: number;
}

type Planned = PlannedSeries<ClusterNumbers>;
type TrafficCounter = {
  [K in keyof ClusterStats]: ClusterStats[K] extends Counter ? K : never;
}[keyof ClusterStats];

function counted(
  name: StatName,
  help: string,
  of: (stats: ClusterStats) => Counter,
  labels: Planned['labels'] = [],
): Planned {
  const counter = ({ madeStats }: ClusterNumbers) => (madeStats === null ? null : of(madeStats));
  return { name, help, kind: 'counter', labels, value: { counter } };
}

function traffic(key: TrafficCounter, name: string, help: string): Planned {
  return counted(name, help, (stats) => stats[key]);
}

function event(key: ExchangeEvent, name: string, help: string): Planned {
  return counted(name, help, (stats) => stats.events[key]);
}

function update(key: keyof ClusterUpdates, name: string, help: string): Planned {
  const counter = ({ updates }: ClusterNumbers) => updates[key];
  return { name, help, kind: 'counter', labels: [], value: { counter } };
}

function gauge(name: string, help: string, read: (cluster: ClusterNumbers) => number): Planned {
  return { name, help, kind: 'gauge', labels: [], value: { read } };
}

const SERIES: readonly Planned[] = [
  traffic('connectionsTotal', 'upstream_cx_total', 'Upstream connections opened'),
  traffic('connectionsHttp1', 'upstream_cx_http1_total', 'Upstream connections of HTTP/1'),
  traffic('connectionsHttp2', 'upstream_cx_http2_total', 'Upstream connections of HTTP/2'),
  traffic('connectFails', 'upstream_cx_connect_fail', 'Upstream connections that failed'),
  traffic('connectTimeouts', 'upstream_cx_connect_timeout', 'Upstream connect timeouts'),
  traffic('connectionsDestroyed', 'upstream_cx_destroy', 'Upstream connections closed'),
  traffic('connectionsOverflow', 'upstream_cx_overflow', 'Times max_connections was met'),
  traffic('connectionsIdleTimeout', 'upstream_cx_idle_timeout', 'Closed after idle_timeout'),
  traffic(
    'connectionsMaxRequests',
    'upstream_cx_max_requests',
    'Closed after max_requests_per_connection',
  ),
  traffic('connectionsProtocolError', 'upstream_cx_protocol_error', 'Closed for bad HTTP'),
  traffic(
    'connectionsCloseNotify',
    'upstream_cx_close_notify',
    'Connections whose server said connection: close or GOAWAY',
  ),
  traffic(
    'keepaliveTimeouts',
    'http2.keepalive_timeout',
    'HTTP/2 connections whose server did not answer a PING',
  ),
  traffic(
    'connectionsNoneHealthy',
    'upstream_cx_none_healthy',
    'Picks that found no healthy endpoint',
  ),
  traffic('bytesReceived', 'upstream_cx_rx_bytes_total', 'Bytes received from upstream'),
  traffic('bytesSent', 'upstream_cx_tx_bytes_total', 'Bytes sent upstream'),
  traffic('requestsTotal', 'upstream_rq_total', 'Requests sent upstream'),
  traffic('requestsCompleted', 'upstream_rq_completed', 'Upstream requests with a status'),
  traffic(
    'requestsPendingTotal',
    'upstream_rq_pending_total',
    'Requests that waited for a connection',
  ),
  traffic(
    'requestsPendingOverflow',
    'upstream_rq_pending_overflow',
    'Requests refused by the circuit breaker',
  ),
  traffic(
    'requestsPendingFailureEject',
    'upstream_rq_pending_failure_eject',
    'Waiting requests failed with their connection',
  ),
  traffic('requestsRetry', 'upstream_rq_retry', 'Retries'),
  traffic('requestsRetryOverflow', 'upstream_rq_retry_overflow', 'Retries over the limit'),
  traffic('tlsFails', 'ssl.fail_verify_san', 'Servers with a certificate of another name'),
  event('retrySuccess', 'upstream_rq_retry_success', 'Retries that brought a good response'),
  event(
    'retryLimitExceeded',
    'upstream_rq_retry_limit_exceeded',
    'Requests that failed with their last retry',
  ),
  event('timeout', 'upstream_rq_timeout', 'Requests ended by the timeout of their route'),
  event('perTryTimeout', 'upstream_rq_per_try_timeout', 'Tries ended by their own timeout'),
  event(
    'maxDuration',
    'upstream_rq_max_duration_reached',
    'Tries ended by max_stream_duration of the cluster',
  ),
  update('membershipChange', 'membership_change', 'Changes of the endpoint set'),
  update('updateSuccess', 'update_success', 'Endpoint updates that were applied'),
  update('updateFailure', 'update_failure', 'Endpoint updates that failed'),
  ...[1, 2, 3, 4, 5].map((digit) =>
    counted(
      { dotted: `upstream_rq_${digit}xx`, prometheus: 'upstream_rq_xx' },
      'Upstream responses by class',
      ({ responses }) => responses[digit]!,
      [['envoy_response_code_class', `${digit}`]],
    ),
  ),
  gauge('upstream_cx_active', 'Upstream connections open', ({ breaker }) => breaker.connections),
  gauge('upstream_rq_active', 'Upstream requests under way', ({ breaker }) => breaker.requests),
  gauge(
    'upstream_rq_pending_active',
    'Requests waiting for a connection',
    ({ breaker }) => breaker.pendingRequests,
  ),
  gauge('membership_total', 'Endpoints', ({ membershipTotal }) => membershipTotal),
  gauge('membership_healthy', 'Healthy endpoints', ({ membershipHealthy }) => membershipHealthy),
  gauge('circuit_breakers.default.cx_open', '1: at max_connections', ({ breaker }) =>
    breaker.connectionsOpen ? 0 : 1,
  ),
  gauge('circuit_breakers.default.rq_open', '1: at max_requests', ({ breaker }) =>
    breaker.requestsOpen ? 0 : 1,
  ),
  gauge('circuit_breakers.default.rq_pending_open', '1: at max_pending_requests', ({ breaker }) =>
    breaker.pendingOpen ? 0 : 1,
  ),
];

/** `cluster.<name>.…` under Envoy's names. */
export const CLUSTER_SERIES: SeriesPlan<ClusterNumbers> = {
  dotted: 'cluster',
  prometheus: 'envoy_cluster',
  label: 'envoy_cluster_name',
  series: SERIES,
  other: (scope) => ({
    madeStats: new ClusterStats(scope),
    updates: new ClusterUpdates(),
    breaker: new CircuitBreaker(UNLIMITED),
    membershipTotal: 0,
    membershipHealthy: 0,
  }),
};

const UNLIMITED = {
  connectionsMax: Number.POSITIVE_INFINITY,
  pendingRequestsMax: Number.POSITIVE_INFINITY,
  requestsMax: Number.POSITIVE_INFINITY,
  retriesMax: Number.POSITIVE_INFINITY,
};
