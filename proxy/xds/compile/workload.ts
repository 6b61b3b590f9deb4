import type { Metadata } from '../../../proto/gen/envoy/config/core/v3/base.ts';
import {
  type DestinationService,
  UNKNOWN_WORKLOAD,
  type WorkloadMetadata,
} from '../../observe/request-record.ts';

/** Istio's metadata on endpoints and clusters; docs/architecture.md lists the keys. */

type Struct = Readonly<Record<string, unknown>>;

/** `filter_metadata.istio.workload` of an endpoint: `name;namespace;canonical-name;canonical-revision;cluster`. */
export function endpointWorkload(metadata: Metadata | undefined): WorkloadMetadata | null {
  const encoded = metadata?.filterMetadata.get('istio')?.['workload'];
  if (typeof encoded !== 'string' || encoded === '') return null;
  const [workload, namespace, canonicalService, canonicalRevision, cluster] = encoded.split(';');
  const of = (value: string | undefined, fallback = 'unknown'): string => value || fallback;
  return {
    ...UNKNOWN_WORKLOAD,
    workload: of(workload),
    namespace: of(namespace),
    // The encoding has no app and version; the canonical names are derived from those labels.
    app: of(canonicalService),
    version: of(canonicalRevision),
    canonicalService: of(canonicalService),
    canonicalRevision: of(canonicalRevision, 'latest'),
    cluster: of(cluster),
  };
}

/** `filter_metadata["envoy.transport_socket_match"]`: what `transport_socket_matches` is held against. */
export function transportSocketMatch(metadata: Metadata | undefined): ReadonlyMap<string, string> {
  return stringPairs(metadata?.filterMetadata.get('envoy.transport_socket_match'));
}

/** Members of a Struct that are text, number or truth value, as text. */
export function stringPairs(struct: Struct | undefined): ReadonlyMap<string, string> {
  if (struct === undefined) return NO_PAIRS;
  const pairs = new Map<string, string>();
  for (const [key, value] of Object.entries(struct)) {
    if (['string', 'number', 'boolean'].includes(typeof value)) pairs.set(key, String(value));
  }
  return pairs.size === 0 ? NO_PAIRS : pairs;
}

const NO_PAIRS: ReadonlyMap<string, string> = new Map();

/**
 * The service that a cluster leads to: the first of `filter_metadata.istio.services`, else what the name says,
 * `outbound|<port>|<subset>|<fqdn>`; null where neither tells.
 */
export function destinationService(
  name: string,
  metadata: Metadata | undefined,
): DestinationService | null {
  const services = metadata?.filterMetadata.get('istio')?.['services'];
  const first: unknown = Array.isArray(services) ? services[0] : undefined;
  if (typeof first === 'object' && first !== null) {
    const { host, name: short, namespace } = first as Struct;
    if (typeof host === 'string' && host !== '') {
      return {
        host,
        name: typeof short === 'string' && short !== '' ? short : host,
        namespace: typeof namespace === 'string' && namespace !== '' ? namespace : 'unknown',
      };
    }
  }
  const parts = name.split('|');
  const host = parts.length === 4 && parts[0] === 'outbound' ? parts[3]! : '';
  if (host === '') return null;
  const labels = host.split('.');
  if (labels.length >= 3 && labels[2] === 'svc') {
    return { host, name: labels[0]!, namespace: labels[1]! };
  }
  return { host, name: host, namespace: 'unknown' };
}
