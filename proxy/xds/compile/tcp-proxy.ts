import type { TcpProxy } from '../../../proto/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.ts';
import type { TcpProxyConfig } from '../../listener/listener-config.ts';
import { compileAccessLogs } from './access-log.ts';
import type { CompileContext } from './compile-context.ts';
import type { ListenerTraits } from './http-connection-manager.ts';
import type { MessageReader } from './message-reader.ts';

const IDLE_TIMEOUT_MS = 3_600_000;

/** `envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`. */
export function compileTcpProxy(
  reader: MessageReader<TcpProxy>,
  { dialledEndpoint }: Pick<ListenerTraits, 'dialledEndpoint'>,
  context: CompileContext,
): TcpProxyConfig {
  const clusters = compileClusters(reader);
  return {
    statPrefix: reader.required('statPrefix'),
    clusters,
    endpoint: dialledEndpoint,
    weightTotal: clusters.reduce((sum, { weight }) => sum + weight, 0),
    idleTimeoutMs: reader.durationMs('idleTimeout', IDLE_TIMEOUT_MS),
    connectAttemptsMax: reader.integer('maxConnectAttempts', { min: 1, max: 100, fallback: 1 }),
    accessLogs: compileAccessLogs(reader.children('accessLog'), context),
  };
}

function compileClusters(reader: MessageReader<TcpProxy>): TcpProxyConfig['clusters'] {
  const set = reader.oneof('clusterSpecifier');
  switch (set?.$case) {
    case 'cluster':
      if (set.value === '') reader.caseProblem(set, 'must not be empty');
      return [{ name: set.value, weight: 1 }];
    case 'weightedClusters': {
      const weighted = reader.caseReader(set);
      const clusters = weighted.children('clusters').map((cluster) => ({
        name: cluster.required('name'),
        weight: cluster.integer('weight', { min: 1, fallback: 1 }),
      }));
      if (clusters.length === 0) weighted.problem('clusters', 'must not be empty');
      return clusters;
    }
    default:
      reader.unsupportedCase(set, 'cluster or weighted_clusters');
      return [{ name: '', weight: 1 }];
  }
}
