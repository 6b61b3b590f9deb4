import type { Logger } from 'pino';
import { TokenReview } from './auth/token-review.ts';
import type { ControlPlaneClock, ControlPlaneOptions } from './control-plane-options.ts';
import { inClusterConfig } from './kubernetes/cluster-config.ts';
import { readKubeconfig } from './kubernetes/kubeconfig.ts';
import { KubernetesClient } from './kubernetes/kubernetes-client.ts';
import { CONTROL_PLANE } from './kubernetes/own-objects.ts';
import { KubernetesRegistry } from './registry/kubernetes/kubernetes-registry.ts';
import { StartError } from './start-error.ts';

export interface Kubernetes {
  readonly client: KubernetesClient;
  readonly registry: KubernetesRegistry;
  readonly tokenReview: TokenReview;
  close(): void;
}

/** The cluster, not asked for anything yet; null where none is wanted. Throws `StartError` where it cannot be known which. */
export function openKubernetes(
  options: Pick<ControlPlaneOptions, 'kubernetes' | 'mesh' | 'version'>,
  clock: ControlPlaneClock,
  log: Pick<Logger, 'info' | 'warn'>,
): Kubernetes | null {
  const { kubernetes, mesh } = options;
  if (kubernetes === null) return null;
  const { kubeconfig, context, serviceHost, servicePort, tokenAudiences } = kubernetes;
  const parsed =
    kubeconfig === null
      ? inClusterConfig(serviceHost, servicePort)
      : readKubeconfig(kubeconfig, context);
  if (!parsed.ok) throw new StartError(`--kubernetes: ${parsed.problem}`);
  const monotonic = { nowMs: clock.monotonicMs, schedule: clock.schedule };
  const client = new KubernetesClient({
    config: parsed.config,
    clock: monotonic,
    userAgent: `${CONTROL_PLANE}/${options.version}`,
  });
  const registry = new KubernetesRegistry({
    client,
    clock: monotonic,
    random: clock.random ?? Math.random,
    log,
    domain: mesh.domain,
  });
  const tokenReview = new TokenReview({
    client,
    trustDomain: mesh.trustDomain,
    audiences: tokenAudiences,
    wallNowMs: clock.wallMs,
    nowMs: clock.monotonicMs,
  });
  return {
    client,
    registry,
    tokenReview,
    close: () => {
      registry.close();
      client.close();
    },
  };
}
