import type { Counter } from '../observe/metric.ts';
import type { StatsRegistry, StatsScope } from '../observe/stats.ts';
import type { HandshakeFailure } from '../tls/handshake-error.ts';

const HANDSHAKE_FAILURES: readonly HandshakeFailure[] = [
  'no_cert',
  'untrusted',
  'san',
  'no_secret',
  'timeout',
  'protocol',
  'closed',
];

/** `listener.<address>.…` under Envoy's names, and what is our own under `weft_`. */
export class ListenerStats {
  readonly connectionsTotal: Counter;
  readonly connectionsDestroyed: Counter;
  readonly connectionsOverflow: Counter;
  readonly noFilterChainMatch: Counter;
  readonly inspectTimeouts: Counter;
  readonly handshakes: Counter;
  readonly handshakeErrors: Counter;
  readonly tlsRequired: Counter;
  readonly #handshakeFailures = new Map<HandshakeFailure, Counter>();
  readonly #scopes: readonly StatsScope[];

  /** `address` as in `0.0.0.0:15006`. */
  constructor(registry: StatsRegistry, name: string, address: string, active: () => number) {
    const envoy = registry.listenerScope(address);
    const own = registry.scope({ dotted: '', prometheus: '', labels: [['listener', name]] });
    this.#scopes = [envoy, own];
    this.connectionsTotal = envoy.counter('downstream_cx_total', 'Connections accepted');
    this.connectionsDestroyed = envoy.counter('downstream_cx_destroy', 'Connections closed');
    this.connectionsOverflow = envoy.counter(
      'downstream_cx_overflow',
      'Connections refused at the connection limit',
    );
    this.noFilterChainMatch = envoy.counter(
      'no_filter_chain_match',
      'Connections that matched no filter chain',
    );
    this.inspectTimeouts = envoy.counter(
      'downstream_pre_cx_timeout',
      'Connections whose protocol was not clear in time',
    );
    this.handshakes = envoy.counter('ssl.handshake', 'TLS handshakes that succeeded');
    this.handshakeErrors = envoy.counter('ssl.connection_error', 'TLS handshakes that failed');
    envoy.gaugeFrom('downstream_cx_active', 'Connections open', active);
    this.tlsRequired = own.counter(
      'weft_tls_required_total',
      'Plain-text connections closed by a listener that takes TLS only',
    );
    for (const failure of HANDSHAKE_FAILURES) {
      const counter = own.counter('weft_tls_handshake_fail_total', 'Failed handshakes by reason', [
        ['reason', failure],
      ]);
      this.#handshakeFailures.set(failure, counter);
    }
  }

  countHandshakeFailure(failure: HandshakeFailure): void {
    this.handshakeErrors.value++;
    this.#handshakeFailures.get(failure)!.value++;
  }

  close(): void {
    for (const scope of this.#scopes) scope.close();
  }
}
