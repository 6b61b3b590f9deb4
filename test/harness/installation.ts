import type { KubernetesObject } from '../../control-plane/kubernetes/kubernetes-object.ts';
import { manifests } from '../../deploy/manifests/manifests.ts';
import { readValues } from '../../deploy/manifests/read-values.ts';

/** What `weft install` puts into a cluster, but for the Deployment: replicas are the test's own. */
export function installedObjects(...settings: readonly string[]): KubernetesObject[] {
  const installation = {
    values: readValues(settings, '0.0.0'),
    namespace: 'weft-system',
    version: '0.0.0',
  };
  return manifests(installation).filter(({ kind }) => kind !== 'Deployment');
}
