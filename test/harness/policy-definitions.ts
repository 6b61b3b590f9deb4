import type { Kind } from '../../control-plane/kinds/kind.ts';
import { KINDS } from '../../control-plane/kinds/kind-registry.ts';
import type { KubernetesObject } from '../../control-plane/kubernetes/kubernetes-object.ts';

/** CustomResourceDefinitions of our kinds that take any spec: what is wrong with one is then for Weft to say. */
export function policyDefinitions(kinds: readonly Kind[] = KINDS): KubernetesObject[] {
  return kinds.map((kind) => policyDefinition(kind, kind.versions));
}

/** `served`: the versions that the cluster has, newest first. */
export function policyDefinition(
  { group, plural, singular, kind, shortNames }: Kind,
  served: readonly string[],
): KubernetesObject {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind, plural, singular, shortNames, listKind: `${kind}List` },
      versions: served.map((name, index) => ({
        name,
        served: true,
        storage: index === 0,
        subresources: { status: {} },
        schema: {
          openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        },
      })),
    },
  };
}
