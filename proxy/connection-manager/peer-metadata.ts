import { UNKNOWN_WORKLOAD, type WorkloadMetadata } from '../observe/request-record.ts';
import { decodeStruct, encodeStruct, type StructValue } from './struct-codec.ts';

/**
 * Who the other sidecar's workload is, as the two sidecars tell each other in the request fields
 * `x-envoy-peer-metadata-id` and `x-envoy-peer-metadata` (a base64 google.protobuf.Struct), with
 * Istio's keys: NAME, NAMESPACE, CLUSTER_ID, WORKLOAD_NAME, LABELS.
 */

/** Node metadata that is told to others. */
export interface NodeMetadata {
  /** `node.id`. */
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly clusterId: string;
  readonly workloadName: string;
  readonly labels: ReadonlyMap<string, string>;
}

export interface PeerMetadataFields {
  readonly id: string;
  readonly value: string;
}

/** Longer values are not decoded: a workload's own is well below 2 KiB (A2.1, A7.4). */
const VALUE_LENGTH_MAX = 16 * 1024;
/** Peers kept; each costs its field's text and a small object. */
const PEERS_MAX = 1_000;

const CANONICAL_NAME = 'service.istio.io/canonical-name';
const CANONICAL_REVISION = 'service.istio.io/canonical-revision';

/** What this proxy sends of itself; made once. */
export function encodePeerMetadata(node: NodeMetadata): PeerMetadataFields {
  const labels = new Map(node.labels);
  const app = labels.get('app') ?? labels.get('app.kubernetes.io/name') ?? '';
  if (!labels.has(CANONICAL_NAME)) {
    labels.set(CANONICAL_NAME, labels.get('app.kubernetes.io/name') ?? (app || node.workloadName));
  }
  if (!labels.has(CANONICAL_REVISION)) {
    const version = labels.get('app.kubernetes.io/version') ?? labels.get('version');
    labels.set(CANONICAL_REVISION, version ?? 'latest');
  }
  const fields = new Map<string, StructValue>([
    ['CLUSTER_ID', node.clusterId],
    ['LABELS', labels],
    ['NAME', node.name],
    ['NAMESPACE', node.namespace],
    ['WORKLOAD_NAME', node.workloadName],
  ]);
  return { id: node.id, value: encodeStruct(fields).toString('base64') };
}

/** The workload that a field's value describes, or null where it cannot be read. */
export function decodePeerMetadata(value: string, principal: string): WorkloadMetadata | null {
  if (value === '' || value.length > VALUE_LENGTH_MAX) return null;
  const fields = decodeStruct(Buffer.from(value, 'base64'));
  if (fields === null) return null;
  const labels = fields.get('LABELS');
  const label = (name: string): string =>
    labels instanceof Map ? ((labels as ReadonlyMap<string, string>).get(name) ?? '') : '';
  const field = (name: string): string => {
    const found = fields.get(name);
    return typeof found === 'string' ? found : '';
  };
  const app = label('app');
  return Object.freeze({
    workload: known(field('WORKLOAD_NAME')),
    namespace: known(field('NAMESPACE')),
    app: known(app),
    version: known(label('version')),
    canonicalService: known(label(CANONICAL_NAME) || app || field('WORKLOAD_NAME')),
    canonicalRevision: label(CANONICAL_REVISION) || label('version') || 'latest',
    cluster: known(field('CLUSTER_ID')),
    principal: known(principal),
  });
}

function known(value: string): string {
  return value === '' ? 'unknown' : value;
}

/**
 * Peers met lately by what they sent, so that each request of one peer costs a lookup and metrics see
 * one object for it. The whole value is the key, not the id: a peer cannot put its labels under
 * another one's id.
 */
export class PeerMetadataCache {
  #peers = new Map<string, WorkloadMetadata>();

  /** The caller's workload; what is missing or unreadable is `unknown`. */
  lookup(value: string, principal: string): WorkloadMetadata {
    if (value === '') return UNKNOWN_WORKLOAD;
    const key = `${principal}\n${value}`;
    const met = this.#peers.get(key);
    if (met !== undefined) return met;
    const peer = decodePeerMetadata(value, principal) ?? UNKNOWN_WORKLOAD;
    if (this.#peers.size >= PEERS_MAX) this.#forgetOldest();
    this.#peers.set(key, peer);
    return peer;
  }

  #forgetOldest(): void {
    let left = PEERS_MAX / 4;
    for (const key of this.#peers.keys()) {
      if (left-- <= 0) break;
      this.#peers.delete(key);
    }
  }
}
