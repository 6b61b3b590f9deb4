import type { StringMap } from '../kinds/resource.ts';
import type { Endpoint } from './registry.ts';

export const NO_LABELS: StringMap = Object.freeze(Object.create(null));

/** A host of which no more is known than its name: asked by DNS, without a sidecar. */
export function outsideEndpoint(
  address: string,
  ports: ReadonlyMap<number, number>,
  namespace: string,
): Endpoint {
  return {
    address,
    ports,
    labels: NO_LABELS,
    namespace,
    workload: '',
    serviceAccount: '',
    weight: 1,
    locality: '',
    health: 'HEALTHY',
    tlsMode: 'disabled',
  };
}
