import type { Node } from '../../proto/gen/envoy/config/core/v3/base.ts';
import type { NodeMetadata } from '../connection-manager/peer-metadata.ts';
import { UNKNOWN_WORKLOAD, type WorkloadMetadata } from '../observe/request-record.ts';
import { stringPairs } from './compile/workload.ts';

/** What `node.metadata` says of this workload, for peers (`x-envoy-peer-metadata`). */
export function nodeMetadata(node: Node): NodeMetadata {
  const metadata = node.metadata ?? {};
  const text = (key: string): string => {
    const value = metadata[key];
    return typeof value === 'string' ? value : '';
  };
  const labels = metadata['LABELS'];
  return {
    id: node.id,
    name: text('NAME'),
    namespace: text('NAMESPACE'),
    clusterId: text('CLUSTER_ID'),
    workloadName: text('WORKLOAD_NAME') || text('NAME'),
    labels: stringPairs(isStruct(labels) ? labels : undefined),
  };
}

/** The same as the labels of this proxy's own metrics (OB-02). */
export function localWorkload(node: Node): WorkloadMetadata {
  const { namespace, clusterId, workloadName, labels } = nodeMetadata(node);
  const label = (...names: readonly string[]): string => {
    for (const name of names) {
      const value = labels.get(name);
      if (value !== undefined && value !== '') return value;
    }
    return '';
  };
  const unknown = UNKNOWN_WORKLOAD;
  const app = label('app', 'app.kubernetes.io/name');
  const version = label('version', 'app.kubernetes.io/version');
  return {
    workload: workloadName || unknown.workload,
    namespace: namespace || unknown.namespace,
    app: app || unknown.app,
    version: version || unknown.version,
    canonicalService:
      label('service.istio.io/canonical-name', 'app.kubernetes.io/name', 'app') ||
      workloadName ||
      unknown.canonicalService,
    canonicalRevision:
      label('service.istio.io/canonical-revision', 'app.kubernetes.io/version', 'version') ||
      unknown.canonicalRevision,
    cluster: clusterId || unknown.cluster,
    principal: unknown.principal,
  };
}

function isStruct(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
