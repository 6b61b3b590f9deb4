import { inClusterConfig } from '../control-plane/kubernetes/cluster-config.ts';
import { readKubeconfig } from '../control-plane/kubernetes/kubeconfig.ts';
import { KubernetesClient } from '../control-plane/kubernetes/kubernetes-client.ts';
import { Cluster } from './check/cluster.ts';
import type { CommandContext } from './command-table.ts';
import { CommandError, ExitCode } from './exit-code.ts';

/** The cluster of a kubeconfig and `--context`, or the one that this pod runs in (`file` null). */
export function connectCluster({ options, env }: CommandContext, file: string | null): Cluster {
  const parsed =
    file === null
      ? inClusterConfig(env['KUBERNETES_SERVICE_HOST'], env['KUBERNETES_SERVICE_PORT'])
      : readKubeconfig(file, String(options['context'] ?? ''));
  if (!parsed.ok) throw new CommandError(parsed.problem, '', ExitCode.Data);
  const clock = {
    nowMs: () => performance.now(),
    schedule: (delayMs: number, callback: () => void) => {
      const timer = setTimeout(callback, delayMs);
      return () => clearTimeout(timer);
    },
  };
  return new Cluster(new KubernetesClient({ config: parsed.config, clock, userAgent: 'weft' }));
}
