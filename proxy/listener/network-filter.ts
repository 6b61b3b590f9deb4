import type { ServerConnection } from '../http/stream.ts';
import type { Transport } from '../http/transport.ts';
import type { DownstreamConnectionInfo } from '../tls/peer-certificate.ts';

/**
 * What stands behind a filter chain: the HTTP connection manager or the TCP proxy. One object per
 * compiled configuration; it makes one `NetworkConnection` per accepted connection.
 */
export interface NetworkFilter {
  /**
   * Takes a connection over. The listener feeds what the transport reads to the connection given
   * back. `originalDestination` is the `ip:port` that the app dialled, '' where it was not redirected.
   */
  accept(
    transport: Transport,
    connection: DownstreamConnectionInfo,
    originalDestination: string,
  ): NetworkConnection;
}

/** One accepted connection, as the listener sees it; a codec's `ServerConnection` is one. */
export type NetworkConnection = Pick<
  ServerConnection,
  'receive' | 'receiveEnd' | 'close' | 'onTransportDrain' | 'drain'
>;
