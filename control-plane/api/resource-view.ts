import type { Kind } from '../kinds/kind.ts';
import { printerValue } from '../kinds/printer-value.ts';
import type { Resource } from '../kinds/resource.ts';

/** How one request wants objects to be shown: as JSON of the version it asked for, or as rows of a `Table`. */
export interface ResourceView {
  item(resource: Resource): object;
  list(items: readonly Resource[], revision: number): object;
}

/** `apiVersion` as in the URL: all versions of a kind share one schema, so only the name changes. */
export function objectView(kind: Kind, apiVersion: string): ResourceView {
  const item = (resource: Resource) => ({ ...resource, apiVersion });
  return {
    item,
    list: (items, revision) => ({
      apiVersion,
      kind: `${kind.kind}List`,
      metadata: { resourceVersion: String(revision) },
      items: items.map(item),
    }),
  };
}

/** Kubernetes' server-side printing, `meta.k8s.io/v1 Table`, from the kind's printer columns. */
export function tableView(
  kind: Kind,
  apiVersion: string,
  includeObject: string | null,
  now: () => number,
): ResourceView {
  const columnDefinitions = [
    {
      name: 'Name',
      type: 'string',
      format: 'name',
      description: 'Name of the object',
      priority: 0,
    },
    ...kind.printerColumns.map(({ name, type, doc, priority }) => {
      return { name, type, format: '', description: doc, priority };
    }),
  ];
  const table = (items: readonly Resource[], resourceVersion: string) => ({
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion },
    columnDefinitions,
    rows: items.map((resource) => ({
      cells: [
        resource.metadata.name,
        ...kind.printerColumns.map((column) => printerValue(resource, column, now()) ?? ''),
      ],
      ...rowObject(resource, apiVersion, includeObject),
    })),
  });
  return {
    item: (resource) => table([resource], resource.metadata.resourceVersion),
    list: (items, revision) => table(items, String(revision)),
  };
}

/** `application/json;as=Table;v=v1;g=meta.k8s.io` among what the client accepts. */
export function wantsTable(accept: string | undefined): boolean {
  return (accept ?? '').split(',').some((range) => {
    const parameters = range.split(';').map((part) => part.trim());
    return parameters.includes('as=Table') && parameters.includes('v=v1');
  });
}

function rowObject(resource: Resource, apiVersion: string, include: string | null): object {
  if (include === 'None') return {};
  if (include === 'Object') return { object: { ...resource, apiVersion } };
  const { metadata } = resource;
  return { object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata } };
}
