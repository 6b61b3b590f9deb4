import { FloodCounters } from '../http2/flood-counters.ts';
import type { FloodKind } from '../http2/flood-guard.ts';
import type { Counter, Gauge } from '../observe/metric.ts';
import { type RequestRecord, ResponseFlag } from '../observe/request-record.ts';
import type { StatsRegistry } from '../observe/stats.ts';

/**
 * `http.<stat_prefix>.*` (OB-06), Envoy's names. Listeners of one prefix share the series, and a
 * changed listener goes on counting where the old one was.
 */
export class ConnectionManagerStats {
  readonly connectionsTotal: Counter;
  readonly connectionsActive: Gauge;
  readonly connectionsHttp1: Counter;
  readonly connectionsHttp2: Counter;
  readonly connectionsHttp1Active: Gauge;
  readonly connectionsHttp2Active: Gauge;
  readonly connectionsIdleTimeout: Counter;
  readonly connectionsDurationReached: Counter;
  readonly keepaliveTimeouts: Counter;
  readonly protocolErrors: Counter;
  readonly headerTimeouts: Counter;
  readonly requestsTotal: Counter;
  readonly requestsActive: Gauge;
  readonly #requestsCompleted: Counter;
  readonly #upgrades: Counter;
  readonly #idleTimeouts: Counter;
  readonly #clientResets: Counter;
  readonly #noRoute: Counter;
  readonly #noCluster: Counter;
  /** By first digit of the status: index 1 to 5. */
  readonly #responses: readonly Counter[];
  readonly #floods: FloodCounters;

  constructor(registry: StatsRegistry, statPrefix: string) {
    const scope = registry.httpScope(statPrefix);
    this.#floods = new FloodCounters(scope);
    this.connectionsTotal = scope.counter('downstream_cx_total', 'Connections accepted');
    this.connectionsActive = scope.gauge('downstream_cx_active', 'Connections open');
    this.connectionsHttp1 = scope.counter('downstream_cx_http1_total', 'Connections of HTTP/1');
    this.connectionsHttp2 = scope.counter('downstream_cx_http2_total', 'Connections of HTTP/2');
    this.connectionsHttp1Active = scope.gauge('downstream_cx_http1_active', 'Of HTTP/1, open');
    this.connectionsHttp2Active = scope.gauge('downstream_cx_http2_active', 'Of HTTP/2, open');
    this.connectionsIdleTimeout = scope.counter(
      'downstream_cx_idle_timeout',
      'Connections idle for too long',
    );
    this.connectionsDurationReached = scope.counter(
      'downstream_cx_max_duration_reached',
      'Connections that reached max_connection_duration',
    );
    this.keepaliveTimeouts = scope.counter(
      'http2.keepalive_timeout',
      'HTTP/2 connections whose client did not answer a PING',
    );
    this.protocolErrors = scope.counter('downstream_cx_protocol_error', 'Connections of bad HTTP');
    this.headerTimeouts = scope.counter('downstream_rq_header_timeout', 'Heads that did not end');
    this.requestsTotal = scope.counter('downstream_rq_total', 'Requests begun');
    this.requestsActive = scope.gauge('downstream_rq_active', 'Requests under way');
    this.#requestsCompleted = scope.counter('downstream_rq_completed', 'Requests with a status');
    this.#upgrades = scope.counter('downstream_cx_upgrades_total', 'Requests that became tunnels');
    this.#idleTimeouts = scope.counter('downstream_rq_idle_timeout', 'Streams idle for too long');
    this.#clientResets = scope.counter('downstream_rq_rx_reset', 'Requests that their client left');
    this.#noRoute = scope.counter('no_route', 'Requests that no route matched');
    this.#noCluster = scope.counter('no_cluster', 'Requests to a cluster that is not there');
    this.#responses = ['0', '1', '2', '3', '4', '5'].map((digit) =>
      digit === '0'
        ? this.#requestsCompleted
        : scope.counter(
            { dotted: `downstream_rq_${digit}xx`, prometheus: 'downstream_rq_xx' },
            'Responses by class',
            [['envoy_response_code_class', digit]],
          ),
    );
  }

  /** A client overdid it (A2.8). */
  countFlood(kind: number): void {
    this.#floods.count(kind as FloodKind);
  }

  /** Once per request that has ended. */
  record(record: RequestRecord, tunnel: boolean): void {
    this.requestsActive.value--;
    const { flags, status } = record;
    if (status > 0) {
      this.#requestsCompleted.value++;
      const byClass = this.#responses[Math.floor(status / 100)];
      if (byClass !== undefined && status >= 100) byClass.value++;
    }
    if (tunnel) this.#upgrades.value++;
    if (flags === 0) return;
    if ((flags & ResponseFlag.DC) !== 0) this.#clientResets.value++;
    if ((flags & ResponseFlag.SI) !== 0) this.#idleTimeouts.value++;
    if ((flags & ResponseFlag.NR) !== 0) this.#noRoute.value++;
    if ((flags & ResponseFlag.NC) !== 0) this.#noCluster.value++;
  }
}
