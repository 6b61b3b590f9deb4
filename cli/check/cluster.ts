import type { KubernetesClient } from '../../control-plane/kubernetes/kubernetes-client.ts';
import {
  isRecord,
  type KubernetesObject,
} from '../../control-plane/kubernetes/kubernetes-object.ts';
import type { ResourceType } from '../../control-plane/kubernetes/resource-type.ts';

/** What the checks read of a cluster. An answer that is no success is thrown with the client's words; absence is a value. */
export class Cluster {
  readonly address: string;
  readonly #client: KubernetesClient;

  constructor(client: KubernetesClient) {
    this.#client = client;
    this.address = client.address;
  }

  /** Null where there is none. */
  async get(type: ResourceType, namespace: string, name: string): Promise<KubernetesObject | null> {
    const result = await this.#client.get(type, namespace, name);
    if (result.ok) return result.value;
    if (result.failure.code === 404) return null;
    throw new Error(result.failure.message);
  }

  /** All pages. `namespace` '' = every one. */
  async list(type: ResourceType, namespace = '', labelSelector = ''): Promise<KubernetesObject[]> {
    const items: KubernetesObject[] = [];
    let next = '';
    do {
      const result = await this.#client.list(type, {
        namespace,
        limit: PAGE_OBJECTS,
        ...(labelSelector !== '' && { labelSelector }),
        ...(next !== '' && { continue: next }),
      });
      if (!result.ok) throw new Error(result.failure.message);
      items.push(...result.value.items);
      next = result.value.continue;
    } while (next !== '' && items.length < OBJECTS_MAX);
    return items;
  }

  /** `{ major: 1, minor: 32 }`; patch levels do not matter. */
  async version(): Promise<{ readonly text: string; readonly minor: number }> {
    const result = await this.#client.request({ method: 'GET', path: '/version' });
    if (!result.ok) throw new Error(result.failure.message);
    const { gitVersion } = isRecord(result.value) ? result.value : {};
    const match = /^v1\.(\d{1,4})\b/.exec(typeof gitVersion === 'string' ? gitVersion : '');
    if (match === null) throw new Error(`${this.address}/version gives no version of Kubernetes`);
    return { text: String(gitVersion), minor: Number(match[1]) };
  }

  /** Whether the person who asks may do it (SelfSubjectAccessReview). */
  async may(verb: string, { group, plural }: ResourceType, namespace: string): Promise<boolean> {
    const result = await this.#client.request({
      method: 'POST',
      path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        spec: { resourceAttributes: { verb, group, resource: plural, namespace } },
      },
    });
    if (!result.ok) throw new Error(result.failure.message);
    const status = isRecord(result.value) ? result.value['status'] : undefined;
    return isRecord(status) && status['allowed'] === true;
  }
}

const PAGE_OBJECTS = 500;
/** Of one kind; a larger cluster is judged by these. */
const OBJECTS_MAX = 50_000;

/** Reads `path` of foreign data; undefined where a step is missing. */
export function at(object: unknown, ...path: readonly (string | number)[]): unknown {
  let value = object;
  for (const step of path) {
    if (Array.isArray(value)) value = value[Number(step)];
    else if (isRecord(value) && Object.hasOwn(value, step)) value = value[step];
    else return undefined;
  }
  return value;
}

/** A list of objects at `path`, or none. */
export function listAt(
  object: unknown,
  ...path: readonly (string | number)[]
): Record<string, unknown>[] {
  const value = at(object, ...path);
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

export function textAt(object: unknown, ...path: readonly (string | number)[]): string {
  const value = at(object, ...path);
  return typeof value === 'string' ? value : '';
}
