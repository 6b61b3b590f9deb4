import { FloodCounters } from '../http2/flood-counters.ts';
import type { Counter } from '../observe/metric.ts';
import type { StatsRegistry, StatsScope } from '../observe/stats.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';
import type { ExchangeEvent } from './upstream.ts';

/** What the gauges read at scrape time. */
export interface ClusterGauges {
  readonly breaker: CircuitBreaker;
  readonly membershipTotal: number;
  readonly membershipHealthy: number;
}

/** `cluster.<name>.…` under Envoy's names (OB-06); resolved once per cluster. */
export class ClusterStats {
  readonly connectionsTotal: Counter;
  readonly connectionsHttp1: Counter;
  readonly connectionsHttp2: Counter;
  readonly connectFails: Counter;
  readonly connectTimeouts: Counter;
  readonly connectionsDestroyed: Counter;
  readonly connectionsOverflow: Counter;
  readonly connectionsIdleTimeout: Counter;
  readonly connectionsMaxRequests: Counter;
  readonly connectionsProtocolError: Counter;
  readonly connectionsCloseNotify: Counter;
  readonly keepaliveTimeouts: Counter;
  readonly connectionsNoneHealthy: Counter;
  readonly bytesReceived: Counter;
  readonly bytesSent: Counter;
  readonly requestsTotal: Counter;
  readonly requestsCompleted: Counter;
  readonly requestsPendingTotal: Counter;
  readonly requestsPendingOverflow: Counter;
  readonly requestsPendingFailureEject: Counter;
  readonly requestsRetry: Counter;
  readonly requestsRetryOverflow: Counter;
  readonly events: Readonly<Record<ExchangeEvent, Counter>>;
  readonly tlsFails: Counter;
  readonly membershipChange: Counter;
  readonly updateSuccess: Counter;
  readonly updateFailure: Counter;
  readonly floods: FloodCounters;
  /** By first digit of the status: index 1 to 5. */
  readonly #responses: readonly Counter[];
  readonly #scope: StatsScope;

  constructor(registry: StatsRegistry, clusterName: string, gauges: ClusterGauges) {
    const scope = registry.clusterScope(clusterName);
    this.#scope = scope;
    this.floods = new FloodCounters(scope);
    const counter = (name: string, help: string) => scope.counter(name, help);
    this.connectionsTotal = counter('upstream_cx_total', 'Upstream connections opened');
    this.connectionsHttp1 = counter('upstream_cx_http1_total', 'Upstream connections of HTTP/1');
    this.connectionsHttp2 = counter('upstream_cx_http2_total', 'Upstream connections of HTTP/2');
    this.connectFails = counter('upstream_cx_connect_fail', 'Upstream connections that failed');
    this.connectTimeouts = counter('upstream_cx_connect_timeout', 'Upstream connect timeouts');
    this.connectionsDestroyed = counter('upstream_cx_destroy', 'Upstream connections closed');
    this.connectionsOverflow = counter('upstream_cx_overflow', 'Times max_connections was met');
    this.connectionsIdleTimeout = counter('upstream_cx_idle_timeout', 'Closed after idle_timeout');
    this.connectionsMaxRequests = counter(
      'upstream_cx_max_requests',
      'Closed after max_requests_per_connection',
    );
    this.connectionsProtocolError = counter('upstream_cx_protocol_error', 'Closed for bad HTTP');
    this.connectionsCloseNotify = counter(
      'upstream_cx_close_notify',
      'Connections whose server said connection: close or GOAWAY',
    );
    this.keepaliveTimeouts = counter(
      'http2.keepalive_timeout',
      'HTTP/2 connections whose server did not answer a PING',
    );
    this.connectionsNoneHealthy = counter(
      'upstream_cx_none_healthy',
      'Picks that found no healthy endpoint',
    );
    this.bytesReceived = counter('upstream_cx_rx_bytes_total', 'Bytes received from upstream');
    this.bytesSent = counter('upstream_cx_tx_bytes_total', 'Bytes sent upstream');
    this.requestsTotal = counter('upstream_rq_total', 'Requests sent upstream');
    this.requestsCompleted = counter('upstream_rq_completed', 'Upstream requests with a status');
    this.requestsPendingTotal = counter(
      'upstream_rq_pending_total',
      'Requests that waited for a connection',
    );
    this.requestsPendingOverflow = counter(
      'upstream_rq_pending_overflow',
      'Requests refused by the circuit breaker',
    );
    this.requestsPendingFailureEject = counter(
      'upstream_rq_pending_failure_eject',
      'Waiting requests failed with their connection',
    );
    this.requestsRetry = counter('upstream_rq_retry', 'Retries');
    this.requestsRetryOverflow = counter('upstream_rq_retry_overflow', 'Retries over the limit');
    this.events = {
      retrySuccess: counter('upstream_rq_retry_success', 'Retries that brought a good response'),
      retryLimitExceeded: counter(
        'upstream_rq_retry_limit_exceeded',
        'Requests that failed with their last retry',
      ),
      timeout: counter('upstream_rq_timeout', 'Requests ended by the timeout of their route'),
      perTryTimeout: counter('upstream_rq_per_try_timeout', 'Tries ended by their own timeout'),
      maxDuration: counter(
        'upstream_rq_max_duration_reached',
        'Tries ended by max_stream_duration of the cluster',
      ),
    };
    this.tlsFails = counter('ssl.fail_verify_san', 'Servers with a certificate of another name');
    this.membershipChange = counter('membership_change', 'Changes of the endpoint set');
    this.updateSuccess = counter('update_success', 'Endpoint updates that were applied');
    this.updateFailure = counter('update_failure', 'Endpoint updates that failed');
    this.#responses = ['', '1', '2', '3', '4', '5'].map((digit) =>
      digit === ''
        ? this.requestsCompleted
        : scope.counter(
            { dotted: `upstream_rq_${digit}xx`, prometheus: 'upstream_rq_xx' },
            'Upstream responses by class',
            [['envoy_response_code_class', digit]],
          ),
    );
    const { breaker } = gauges;
    const gauge = (name: string, help: string, read: () => number) =>
      scope.gaugeFrom(name, help, read);
    gauge('upstream_cx_active', 'Upstream connections open', () => breaker.connections);
    gauge('upstream_rq_active', 'Upstream requests under way', () => breaker.requests);
    gauge('upstream_rq_pending_active', 'Requests waiting for a connection', () => {
      return breaker.pendingRequests;
    });
    gauge('membership_total', 'Endpoints', () => gauges.membershipTotal);
    gauge('membership_healthy', 'Healthy endpoints', () => gauges.membershipHealthy);
    gauge('circuit_breakers.default.cx_open', '1: at max_connections', () => {
      return breaker.connectionsOpen ? 0 : 1;
    });
    gauge('circuit_breakers.default.rq_open', '1: at max_requests', () => {
      return breaker.requestsOpen ? 0 : 1;
    });
    gauge('circuit_breakers.default.rq_pending_open', '1: at max_pending_requests', () => {
      return breaker.pendingOpen ? 0 : 1;
    });
  }

  /** `status` 100 to 599; 0 and others count as no response. */
  countResponse(status: number): void {
    const digit = Math.floor(status / 100);
    if (digit < 1 || digit > 5) return;
    this.requestsCompleted.value++;
    this.#responses[digit]!.value++;
  }

  close(): void {
    this.#scope.close();
  }
}
