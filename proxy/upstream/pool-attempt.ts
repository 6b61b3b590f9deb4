import type { SocketTransport } from '../tcp/socket-transport.ts';
import type { UpstreamTlsConfig } from '../tls/tls-config.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { ConnectAttempt, type ConnectedInfo, type ConnectorDeps } from './connector.ts';
import type { StreamFailure } from './upstream.ts';
import type { UpstreamEndpoint } from './upstream-endpoint.ts';

/** Who asked for the connection; told once, unless the attempt is cancelled first. */
export interface PoolAttempts {
  onConnected(attempt: PoolAttempt, transport: SocketTransport, info: ConnectedInfo): void;
  onConnectFailed(attempt: PoolAttempt, failure: StreamFailure, detail: string): void;
}

/** A connection on its way into the pool. */
export class PoolAttempt {
  readonly #attempt: ConnectAttempt;

  constructor(
    pool: PoolAttempts,
    endpoint: UpstreamEndpoint,
    tls: UpstreamTlsConfig | null,
    config: ClusterConfig,
    deps: ConnectorDeps,
  ) {
    this.#attempt = new ConnectAttempt(
      deps,
      {
        host: endpoint.host,
        port: endpoint.port,
        tls,
        connectTimeoutMs: config.connectTimeoutMs,
        bindAddresses: config.bindAddresses,
        tcpKeepaliveMs: config.tcpKeepaliveMs,
      },
      {
        onConnected: (transport, info) => pool.onConnected(this, transport, info),
        onConnectFailed: (failure, detail) => pool.onConnectFailed(this, failure, detail),
      },
    );
  }

  start(): void {
    this.#attempt.start();
  }

  cancel(): void {
    this.#attempt.cancel();
  }
}
