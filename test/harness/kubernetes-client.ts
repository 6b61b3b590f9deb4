import { realClock } from '../../control-plane/clock.testing.ts';
import { type ClusterConfig, NO_SECRET } from '../../control-plane/kubernetes/cluster-config.ts';
import { KubernetesClient } from '../../control-plane/kubernetes/kubernetes-client.ts';
import { KubernetesApi, type KubernetesApiOptions } from './kubernetes-api.ts';

const quietLog = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** What every part that follows the cluster takes. */
export const parts = { clock: realClock, random: Math.random, log: quietLog };

/** An API server with a client of it. */
export async function testCluster(options: KubernetesApiOptions = {}) {
  const api = await KubernetesApi.start(options);
  const client = clientOf(api);
  return {
    api,
    client,
    close: async () => {
      client.close();
      await api.close();
    },
  };
}

export function clientOf(
  { url, caPem }: Pick<KubernetesApi, 'url' | 'caPem'>,
  overrides: Partial<ClusterConfig> = {},
): KubernetesClient {
  const config = clusterConfig({
    server: new URL(url),
    ca: { kind: 'value', value: caPem },
    ...overrides,
  });
  return new KubernetesClient({ clock: realClock, config });
}

/** How to reach an API server; nothing is secret and nobody is trusted where the test does not say. */
export function clusterConfig(given: Partial<ClusterConfig> & { server: URL }): ClusterConfig {
  return {
    ca: NO_SECRET,
    clientCertificate: NO_SECRET,
    clientKey: NO_SECRET,
    token: NO_SECRET,
    serverName: '',
    insecureSkipTlsVerify: false,
    namespace: 'weft-system',
    origin: 'the test',
    ...given,
  };
}
