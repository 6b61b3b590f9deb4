import { customResourceDefinition } from '../../control-plane/kinds/custom-resource-definition.ts';
import { KINDS } from '../../control-plane/kinds/kind-registry.ts';
import { accessManifests } from './access.ts';
import { controlPlaneManifests } from './control-plane.ts';
import { type Installation, labels, type Manifest } from './installation.ts';
import { monitorManifests } from './monitors.ts';
import { networkPolicyManifests } from './network-policy.ts';
import { webhookManifests } from './webhooks.ts';

/**
 * Everything that an installation puts into a cluster, in the order to apply it: `weft install`, the kustomize files and, by a
 * test, the chart are this list.
 */
export function manifests(installation: Installation): readonly Manifest[] {
  return [
    ...definitionManifests(),
    namespaceManifest(installation),
    ...accessManifests(installation),
    ...controlPlaneManifests(installation),
    ...networkPolicyManifests(installation),
    ...monitorManifests(installation),
    // Last: from here on the API server asks for the control plane.
    ...webhookManifests(installation),
  ];
}

/** The policy kinds. They and what people wrote in them outlive an uninstall. */
export function definitionManifests(): Manifest[] {
  return KINDS.map((kind) => customResourceDefinition(kind));
}

export function namespaceManifest(installation: Installation): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name: installation.namespace,
      labels: labels(installation, {
        'pod-security.kubernetes.io/enforce': 'restricted',
        'weft.dev/injection': 'disabled',
      }),
    },
  };
}
