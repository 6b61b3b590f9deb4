import type { FilterChainConfig, ListenerConfig } from '../listener/listener-config.ts';
import type { TlsConfig } from '../tls/tls-config.ts';
import type { ClusterConfig } from '../upstream/cluster-config.ts';

/** Route configurations (RDS) that a listener needs. */
export function routeNamesOf(config: ListenerConfig): string[] {
  return chainsOf(config).flatMap(({ filter }) =>
    filter.kind === 'httpConnectionManager' && filter.config.rdsRouteName !== ''
      ? [filter.config.rdsRouteName]
      : [],
  );
}

/** Secrets that the TLS contexts of a listener name; inline material has generated names. */
export function secretNamesOfListener(config: ListenerConfig): string[] {
  return chainsOf(config).flatMap(({ tls }) => secretNames(tls));
}

export function secretNamesOfCluster({ tls, tlsMatches }: ClusterConfig): string[] {
  return [tls, ...tlsMatches.map((match) => match.tls)].flatMap(secretNames);
}

function secretNames(tls: TlsConfig | null): string[] {
  if (tls === null) return [];
  return [tls.certificateSecret, tls.validationSecret].filter(
    (name) => name !== '' && !name.startsWith(INLINE_PREFIX),
  );
}

/** Before the generated name of key material that stands in a TLS context itself. */
export const INLINE_PREFIX = 'inline:';

function chainsOf({ filterChains, defaultFilterChain }: ListenerConfig): FilterChainConfig[] {
  return defaultFilterChain === null ? [...filterChains] : [...filterChains, defaultFilterChain];
}
