import type { KubernetesObject } from '../../kubernetes/kubernetes-object.ts';
import type { PodRecord } from './pod.ts';
import { stringMap } from './pod.ts';

/** `region/zone/subzone` of a Node by its labels (LB-08), '' where it has none. */
export function nodeLocality({ metadata }: KubernetesObject): string {
  const labels = stringMap(metadata.labels);
  return joined(
    labels['topology.kubernetes.io/region'] ?? labels['failure-domain.beta.kubernetes.io/region'],
    labels['topology.kubernetes.io/zone'] ?? labels['failure-domain.beta.kubernetes.io/zone'],
    labels['topology.weft.dev/subzone'] ?? labels['topology.istio.io/subzone'],
  );
}

/** The pod's own label wins, dots for slashes; then its node; then the zone that its endpoint names. */
export function localityOf(
  pod: PodRecord | undefined,
  ofNode: string | undefined,
  zone: string,
): string {
  const own = pod?.labels['istio-locality'];
  if (own !== undefined && own !== '') return own.replaceAll('.', '/');
  return ofNode ?? joined('', zone, '');
}

function joined(region = '', zone = '', subzone = ''): string {
  return `${region}/${zone}/${subzone}`.replace(/\/+$/, '');
}
