import type { KubernetesObject } from '../../../control-plane/kubernetes/kubernetes-object.ts';
import { at, type Fields, isFields, list, object, text } from './fields.ts';
import type { ServedKind } from './served-kind.ts';

interface Column {
  readonly name: string;
  readonly type: string;
  readonly value: (fields: Fields) => unknown;
}

/** `application/json;as=Table;v=v1;g=meta.k8s.io` is what kubectl would like best. */
export function wantsTable(accept: string | undefined): boolean {
  return (accept ?? '').split(',')[0]!.includes('as=Table');
}

/** `meta.k8s.io/v1 Table`, as `kubectl get` prints it. */
export function table(
  kind: ServedKind,
  objects: readonly KubernetesObject[],
  metadata: object,
  include: string | null,
): object {
  const columns = columnsOf(kind);
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    columnDefinitions: columns.map(({ name, type }, index) => ({
      name,
      type,
      format: index === 0 ? 'name' : '',
      description: name,
      priority: 0,
    })),
    rows: objects.map((each) => ({
      cells: columns.map(({ value }) => value(each as unknown as Fields) ?? ''),
      object: rowObject(each, include),
    })),
  };
}

function rowObject(each: KubernetesObject, include: string | null): object | null {
  if (include === 'None') return null;
  if (include === 'Object') return each;
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: each.metadata };
}

const NAME: Column = {
  name: 'Name',
  type: 'string',
  value: (fields) => at(fields, ['metadata', 'name']),
};
const AGE: Column = {
  name: 'Age',
  type: 'string',
  value: (fields) => age(String(at(fields, ['metadata', 'creationTimestamp']))),
};

function column(name: string, ...path: string[]): Column {
  return { name, type: 'string', value: (fields) => at(fields, path) };
}

const BUILT_IN: Readonly<Record<string, readonly Column[]>> = {
  Pod: [
    { name: 'Ready', type: 'string', value: readyContainers },
    column('Status', 'status', 'phase'),
    { name: 'Restarts', type: 'string', value: () => '0' },
  ],
  Service: [
    column('Type', 'spec', 'type'),
    column('Cluster-IP', 'spec', 'clusterIP'),
    { name: 'External-IP', type: 'string', value: () => '<none>' },
    { name: 'Port(s)', type: 'string', value: servicePorts },
  ],
  Namespace: [column('Status', 'status', 'phase')],
  Node: [{ name: 'Status', type: 'string', value: () => 'Ready' }],
  Deployment: [
    {
      name: 'Ready',
      type: 'string',
      value: (fields) =>
        `${at(fields, ['status', 'readyReplicas']) ?? 0}/${at(fields, ['spec', 'replicas']) ?? 1}`,
    },
  ],
  ConfigMap: [
    {
      name: 'Data',
      type: 'string',
      value: (fields) => String(Object.keys(object(fields, 'data')).length),
    },
  ],
  Lease: [column('Holder', 'spec', 'holderIdentity')],
};

function columnsOf(kind: ServedKind): readonly Column[] {
  if (!kind.isCustom) return [NAME, ...(BUILT_IN[kind.kind] ?? []), AGE];
  const own = kind.columns
    .filter((each) => (each['priority'] ?? 0) === 0)
    .map((each): Column => {
      const path = text(each, 'jsonPath').replace(/^\./, '').split('.');
      const type = text(each, 'type');
      return {
        name: text(each, 'name'),
        type: 'string',
        value: (fields) => {
          const value = at(fields, path);
          if (type === 'date' && typeof value === 'string') return age(value);
          return typeof value === 'object' && value !== null ? JSON.stringify(value) : value;
        },
      };
    });
  return [NAME, ...(own.length > 0 ? own : [AGE])];
}

function readyContainers(fields: Fields): string {
  const containers = list(object(fields, 'spec'), 'containers').length;
  const ready = list(object(fields, 'status'), 'conditions').some(
    (each) => isFields(each) && each['type'] === 'Ready' && each['status'] === 'True',
  );
  return `${ready ? containers : 0}/${containers}`;
}

function servicePorts(fields: Fields): string {
  return list(object(fields, 'spec'), 'ports')
    .filter(isFields)
    .map((port) => `${String(port['port'])}/${text(port, 'protocol') || 'TCP'}`)
    .join(',');
}

function age(timestamp: string): string {
  const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(timestamp)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  return seconds < 7200 ? `${Math.floor(seconds / 60)}m` : `${Math.floor(seconds / 3600)}h`;
}
