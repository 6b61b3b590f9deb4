import { isIP } from 'node:net';
import { isRecord, type KubernetesObject } from '../../kubernetes/kubernetes-object.ts';
import { textOf } from './pod.ts';
import { isPort } from './service.ts';

/** What is kept of an EndpointSlice. */
export interface SliceRecord {
  /** `namespace/service` */
  readonly service: string;
  readonly family: 'IPv4' | 'IPv6';
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly SliceEndpoint[];
}

export interface SlicePort {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
}

export interface SliceEndpoint {
  readonly address: string;
  /** Absent counts as ready. True for all of a service with publishNotReadyAddresses. */
  readonly isReady: boolean;
  /** `namespace/name`, '' where it is no pod. */
  readonly pod: string;
  readonly nodeName: string;
  readonly zone: string;
}

/** Kubernetes' own controllers write 100; the API allows 1000. */
const ENDPOINTS_MAX = 1000;

/** Null for slices that belong to no service, and for those of names (FQDN). */
export function sliceRecord(slice: KubernetesObject): SliceRecord | null {
  const { metadata } = slice;
  const { addressType, ports, endpoints } = slice;
  const service = metadata.labels?.['kubernetes.io/service-name'];
  if (typeof service !== 'string' || service === '') return null;
  if (addressType !== 'IPv4' && addressType !== 'IPv6') return null;
  const namespace = metadata.namespace ?? '';
  return {
    service: `${namespace}/${service}`,
    family: addressType,
    ports: list(ports).flatMap((each) => {
      const { name, port, protocol } = each;
      if (!isPort(port)) return [];
      return [{ name: textOf(name), port, protocol: textOf(protocol) || 'TCP' }];
    }),
    endpoints: list(endpoints)
      .slice(0, ENDPOINTS_MAX)
      .flatMap((each) => sliceEndpoint(each, namespace)),
  };
}

function sliceEndpoint(endpoint: Record<string, unknown>, namespace: string): SliceEndpoint[] {
  const { addresses, conditions, targetRef, nodeName, zone } = endpoint;
  // The API gives one endpoint one address; further ones are the same thing again.
  const address: unknown = Array.isArray(addresses) ? addresses[0] : undefined;
  if (typeof address !== 'string' || isIP(address) === 0) return [];
  const isReady = !isRecord(conditions) || conditions['ready'] !== false;
  const isPod = isRecord(targetRef) && targetRef['kind'] === 'Pod';
  return [
    {
      address,
      isReady,
      // A reference into another namespace would borrow a stranger's identity.
      pod: isPod ? `${namespace}/${textOf(targetRef['name'])}` : '',
      nodeName: textOf(nodeName),
      zone: textOf(zone),
    },
  ];
}

function list(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}
