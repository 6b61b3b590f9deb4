import { NEVER_NAMESPACES, namespaceSays, podSays } from '../../control-plane/injector/policy.ts';
import type { KubernetesObject } from '../../control-plane/kubernetes/kubernetes-object.ts';
import { NAMESPACES, PODS } from '../../control-plane/kubernetes/resource-type.ts';
import { type Installation, imageName } from '../../deploy/manifests/installation.ts';
import { type CheckCategory, failed, OK, okUnless } from './check.ts';
import { at, type Cluster, listAt, textAt } from './cluster.ts';

export interface DataPlaneCheckOptions {
  readonly cluster: Cluster;
  readonly installation: Installation;
  /** '' = all. */
  readonly dataPlaneNamespace: string;
}

const PROXY = 'weft-proxy';

/** The sidecars of a cluster, as their pods show them. */
export function dataPlaneChecks(options: DataPlaneCheckOptions): CheckCategory {
  const { cluster, installation, dataPlaneNamespace } = options;
  const pods = async () =>
    (await cluster.list(PODS, dataPlaneNamespace)).filter(
      (pod) => !['Succeeded', 'Failed'].includes(textAt(pod, 'status', 'phase')),
    );
  const meshed = async () => (await pods()).filter((pod) => proxyOf(pod) !== undefined);
  return {
    name: 'weft-data-plane',
    checks: [
      {
        description: 'there are sidecars',
        hint: 'no-sidecars',
        warning: true,
        run: async () =>
          (await meshed()).length > 0
            ? OK
            : failed(
                'no pod has a sidecar: label a namespace with weft.dev/injection=enabled and restart its pods',
              ),
      },
      {
        description: 'every sidecar is ready',
        hint: 'sidecars-ready',
        retry: true,
        run: async () =>
          okUnless(
            (await meshed())
              .filter((pod) => !isReady(pod))
              .map((pod) => `pod ${nameOf(pod)}: the sidecar is not ready`),
          ),
      },
      {
        description: 'every sidecar is of the version of this command line',
        hint: 'proxy-versions-match',
        warning: true,
        run: async () => {
          const expected = imageName(installation.values.image);
          return okUnless(
            (await meshed()).flatMap((pod) => {
              const image = textAt(proxyOf(pod), 'image');
              return image === expected
                ? []
                : [`pod ${nameOf(pod)}: image ${image}, not ${expected}`];
            }),
          );
        },
      },
      {
        description: 'every pod of a namespace with injection has a sidecar',
        hint: 'pods-without-sidecar',
        warning: true,
        run: async () => {
          const injected = new Set(
            (await cluster.list(NAMESPACES))
              .filter((each) => isInjected(each, installation))
              .map(({ metadata }) => metadata.name),
          );
          return okUnless(
            (await pods())
              .filter(
                (pod) =>
                  injected.has(pod.metadata.namespace ?? '') &&
                  proxyOf(pod) === undefined &&
                  !isExempt(pod),
              )
              .map(
                (pod) =>
                  `pod ${nameOf(pod)} has no sidecar: it is older than the label, or asked for none; restart it`,
              ),
          );
        },
      },
    ],
  };
}

/** Whether this installation injects into pods of the namespace that say nothing themselves (KI-01). */
export function isInjected({ metadata }: KubernetesObject, installation: Installation): boolean {
  const { name, labels = {} } = metadata;
  if (NEVER_NAMESPACES.includes(name) || name === installation.namespace) return false;
  const { injection } = installation.values;
  const { says } = namespaceSays(labels, injection);
  return says === 'nothing' ? injection.injectByDefault : says === 'enabled';
}

/** Native sidecars are init containers. */
function proxyOf(pod: KubernetesObject): Record<string, unknown> | undefined {
  return [...listAt(pod, 'spec', 'containers'), ...listAt(pod, 'spec', 'initContainers')].find(
    (container) => textAt(container, 'name') === PROXY,
  );
}

function isReady(pod: KubernetesObject): boolean {
  return [
    ...listAt(pod, 'status', 'containerStatuses'),
    ...listAt(pod, 'status', 'initContainerStatuses'),
  ].some((status) => textAt(status, 'name') === PROXY && at(status, 'ready') === true);
}

/** Pods that are never injected, or said that they want none (KI-01). */
function isExempt(pod: KubernetesObject): boolean {
  return podSays(pod.metadata, [])?.inject === false || at(pod, 'spec', 'hostNetwork') === true;
}

function nameOf({ metadata }: KubernetesObject): string {
  return `${metadata.namespace ?? 'default'}/${metadata.name}`;
}
