import { type Kind, storedApiVersion } from '../kinds/kind.ts';
import type { Resource } from '../kinds/resource.ts';
import { isRecord, type KubernetesObject } from '../kubernetes/kubernetes-object.ts';
import { parseStored } from './stored-json.ts';

/**
 * An object of the cluster as every reader of a store expects it: in the stored version, all metadata there, frozen,
 * without prototypes. What its author or an intruder made of it is foreign (A6.9): labels that are no strings are left
 * out, the spec is not judged here. Throws RangeError for nesting beyond what can be copied.
 */
export function toResource(kind: Kind, object: KubernetesObject): Resource {
  const { name, namespace, uid, resourceVersion, generation, creationTimestamp } = object.metadata;
  const resource = {
    apiVersion: storedApiVersion(kind),
    kind: kind.kind,
    metadata: {
      name,
      namespace: namespace ?? '',
      labels: texts(object.metadata.labels),
      annotations: texts(object.metadata.annotations),
      creationTimestamp:
        typeof creationTimestamp === 'string' && !Number.isNaN(Date.parse(creationTimestamp))
          ? creationTimestamp
          : '1970-01-01T00:00:00Z',
      generation: Number.isSafeInteger(generation) ? generation : 1,
      resourceVersion: resourceVersion ?? '',
      uid: typeof uid === 'string' ? uid : '',
    },
    spec: object['spec'],
    ...(isRecord(object['status']) && { status: object['status'] }),
  };
  return parseStored(JSON.stringify(resource));
}

function texts(map: unknown): Record<string, string> {
  const found: Record<string, string> = Object.create(null);
  if (!isRecord(map)) return found;
  for (const [name, text] of Object.entries(map)) {
    if (typeof text === 'string') found[name] = text;
  }
  return found;
}
