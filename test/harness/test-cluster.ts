import { NO_SECRET } from '../../control-plane/kubernetes/cluster-config.ts';
import { KubernetesClient } from '../../control-plane/kubernetes/kubernetes-client.ts';
import { KubernetesApi, type KubernetesApiOptions } from './kubernetes-api.ts';

/** Real time, for tests over sockets. */
export const realClock = {
  nowMs: () => performance.now(),
  schedule: (delayMs: number, callback: () => void) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

export const quietLog = { info: () => undefined, warn: () => undefined, error: () => undefined };

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

export function clientOf(api: KubernetesApi): KubernetesClient {
  return new KubernetesClient({
    clock: realClock,
    config: {
      server: new URL(api.url),
      ca: { kind: 'value', value: api.caPem },
      clientCertificate: NO_SECRET,
      clientKey: NO_SECRET,
      token: NO_SECRET,
      serverName: '',
      insecureSkipTlsVerify: false,
      namespace: 'weft-system',
      origin: 'the test',
    },
  });
}
