import type { ResourceType } from '../../control-plane/kubernetes/resource-type.ts';
import type { Manifest } from '../../deploy/manifests/installation.ts';

/** Where the API server keeps what an installation is made of. */
export function typeOf({ apiVersion, kind, metadata }: Manifest): ResourceType {
  const slash = apiVersion.indexOf('/');
  const lower = kind.toLowerCase();
  return {
    group: slash < 0 ? '' : apiVersion.slice(0, slash),
    version: apiVersion.slice(slash + 1),
    plural: lower.endsWith('y') ? `${lower.slice(0, -1)}ies` : `${lower}s`,
    kind,
    namespaced: metadata.namespace !== undefined,
  };
}
