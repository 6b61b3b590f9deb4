import type { ConnectionManagerConfig } from '../connection-manager/connection-manager-config.ts';
import type { Logger } from '../observe/logger.ts';
import type { StatsRegistry } from '../observe/stats.ts';
import type { TlsContexts } from '../tls/tls-context.ts';
import { FilterChainMatcher } from './filter-chain-match.ts';
import type { FilterChainConfig, ListenerConfig } from './listener-config.ts';
import type { NetworkFilter } from './network-filter.ts';
import type { LoadedLookup } from './original-destination.ts';
import { TcpProxy, type TcpProxyDeps } from './tcp-proxy.ts';

/** What all listeners of a sidecar share. Put together by `sidecar.ts`. */
export interface ListenerDeps extends TcpProxyDeps {
  readonly stats: StatsRegistry;
  readonly tlsContexts: TlsContexts;
  readonly log: Logger;
  /** `(config) => new HttpConnectionManager(config, deps)`. */
  readonly httpConnectionManager: (config: ConnectionManagerConfig) => NetworkFilter;
  /** `loadOriginalDestinationLookup`, called when the first listener needs it. */
  readonly loadOriginalDestination: () => LoadedLookup;
  /** Connections of one listener at a time (A1.5); further ones are closed at once. */
  readonly connectionsPerListenerMax: number;
  /** Connections of all listeners at a time (D13); likewise. */
  readonly connectionsMax: number;
}

/** A listener's configuration with all that depends only on it: swapped whole in one assignment. */
export class CompiledListener {
  readonly config: ListenerConfig;
  readonly matcher: FilterChainMatcher;
  /** First bytes are looked at before a chain is picked. */
  readonly inspects: boolean;
  readonly inspectsHttp: boolean;
  /** 0 = wait for ever. */
  readonly inspectTimeoutMs: number;
  readonly #filters = new Map<FilterChainConfig, NetworkFilter>();

  constructor(config: ListenerConfig, deps: ListenerDeps) {
    this.config = config;
    this.matcher = new FilterChainMatcher(config.filterChains, config.defaultFilterChain);
    const chains = [
      ...config.filterChains,
      ...(config.defaultFilterChain === null ? [] : [config.defaultFilterChain]),
    ];
    const hasTls = chains.some(({ tls }) => tls !== null);
    const inspectors = config.inspectTls || config.inspectHttp;
    this.inspects = inspectors || hasTls;
    this.inspectsHttp = config.inspectHttp;
    // Without inspectors the wait for a ClientHello is part of the handshake, which is bounded (A1.9).
    this.inspectTimeoutMs = inspectors
      ? config.inspectTimeoutMs
      : Math.max(...chains.map(({ transportConnectTimeoutMs }) => transportConnectTimeoutMs), 0);
    for (const chain of chains) {
      const { filter } = chain;
      this.#filters.set(
        chain,
        filter.kind === 'tcpProxy'
          ? new TcpProxy(filter.config, config.direction, deps)
          : deps.httpConnectionManager(filter.config),
      );
    }
  }

  filter(chain: FilterChainConfig): NetworkFilter {
    return this.#filters.get(chain)!;
  }
}
