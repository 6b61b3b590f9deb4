import type { FieldPath, Fields } from '../kinds/schema.ts';
import { DEPTH_MAX, VALUES_MAX } from '../kinds/source-document.ts';

/**
 * A pod (or the pod template of a workload) as the injector reads it. Fields that it does not know are kept as they are.
 * https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
 */
export interface Pod extends Fields {
  metadata?: PodMetadata;
  spec: PodSpec;
}

export interface PodMetadata extends Fields {
  name?: string;
  generateName?: string;
  namespace?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: Fields[];
}

export interface PodSpec extends Fields {
  containers: Container[];
  initContainers?: Container[];
  volumes?: Named[];
  imagePullSecrets?: Named[];
  hostNetwork?: boolean;
  dnsPolicy?: string;
  securityContext?: Fields;
}

export interface Named extends Fields {
  name: string;
}

export interface Container extends Named {
  image?: string;
  args?: string[];
  env?: Named[];
  ports?: ContainerPort[];
  volumeMounts?: Fields[];
  restartPolicy?: string;
  resources?: Fields;
  securityContext?: Fields;
  livenessProbe?: Fields;
  readinessProbe?: Fields;
  startupProbe?: Fields;
  lifecycle?: Fields;
}

export interface ContainerPort extends Fields {
  name?: string;
  containerPort: number;
  protocol?: string;
}

/** One thing wrong with a pod: where in the pod, and what is right. */
export interface PodProblem {
  readonly path: FieldPath;
  readonly message: string;
}

/** Maps, lists and items of each list that the injector would look at or add; the bound is the API server's etcd limit. */
const ITEMS_MAX = 10_000;

/**
 * A copy of `value` that may be changed, once it has the shape that the injector relies on; else every problem. Looks at
 * nothing else: whether the rest is a valid pod is for the API server to say.
 */
export function readPod(value: unknown): { pod: Pod } | { problems: PodProblem[] } {
  const shape = new Shape();
  if (!shape.map(value, []) || !shape.bounded(value)) return { problems: shape.problems };
  shape.metadata(value['metadata']);
  if (shape.map(value['spec'], ['spec'])) shape.spec(value['spec']);
  if (shape.problems.length > 0) return { problems: shape.problems };
  // By way of JSON: a structured clone would keep two places that share an object sharing it.
  const pod = JSON.parse(JSON.stringify(value)) as Pod;
  for (const part of [pod, pod.metadata ?? {}, pod.spec]) {
    for (const name of NULLABLE) if (part[name] === null) delete part[name];
  }
  return { pod };
}

/** Collections that the injector adds to; `null` there is the same as absent. */
const NULLABLE = [
  'metadata',
  'labels',
  'annotations',
  'ownerReferences',
  'initContainers',
  'volumes',
  'imagePullSecrets',
];

class Shape {
  readonly problems: PodProblem[] = [];

  /** Not by recursion: a hostile pod is nested as deep as its megabytes allow. */
  bounded(value: unknown): boolean {
    const open: [value: unknown, depth: number][] = [[value, 0]];
    for (let values = 0; open.length > 0; values++) {
      const [at, depth] = open.pop()!;
      if (typeof at !== 'object' || at === null) continue;
      if (depth > DEPTH_MAX) this.#add([], `is nested more than ${DEPTH_MAX} deep`);
      else if (values > VALUES_MAX) this.#add([], `holds more than ${VALUES_MAX} values`);
      else if (Object.hasOwn(at, '__proto__')) this.#add([], 'the key "__proto__" is not allowed');
      else {
        for (const child of Object.values(at)) open.push([child, depth + 1]);
        continue;
      }
      return false;
    }
    return true;
  }

  metadata(metadata: unknown): void {
    if (metadata === undefined || metadata === null) return;
    if (!this.map(metadata, ['metadata'])) return;
    for (const name of ['labels', 'annotations']) {
      const texts = metadata[name];
      if (texts === undefined || texts === null) continue;
      if (!this.map(texts, ['metadata', name])) continue;
      for (const [key, text] of Object.entries(texts)) {
        if (typeof text === 'string') continue;
        this.#add(['metadata', name, key], `must be a string; write ${quoted(text)}`);
      }
    }
    for (const name of ['name', 'generateName', 'namespace']) {
      this.#optional(metadata[name], 'string', ['metadata', name]);
    }
    this.#maps(metadata['ownerReferences'], ['metadata', 'ownerReferences']);
  }

  spec(spec: Fields): void {
    const containers = spec['containers'];
    if (!Array.isArray(containers) || containers.length === 0) {
      this.#add(['spec', 'containers'], 'is required: a pod has one container at least');
    }
    for (const name of ['containers', 'initContainers']) {
      this.#named(spec[name], ['spec', name]).forEach((container, index) => {
        this.#container(container, ['spec', name, index]);
      });
    }
    for (const name of ['volumes', 'imagePullSecrets']) this.#named(spec[name], ['spec', name]);
    this.#optional(spec['hostNetwork'], 'boolean', ['spec', 'hostNetwork']);
    this.#optionalMap(spec['securityContext'], ['spec', 'securityContext']);
  }

  #container(container: Fields, path: FieldPath): void {
    this.#named(container['env'], [...path, 'env']);
    this.#maps(container['volumeMounts'], [...path, 'volumeMounts']);
    this.#maps(container['ports'], [...path, 'ports']).forEach((port, index) => {
      if (typeof port['containerPort'] === 'number') return;
      this.#add([...path, 'ports', index, 'containerPort'], 'must be a number');
    });
    const maps = ['livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle'];
    for (const name of [...maps, 'securityContext', 'resources']) {
      this.#optionalMap(container[name], [...path, name]);
    }
    for (const name of ['image', 'restartPolicy']) {
      this.#optional(container[name], 'string', [...path, name]);
    }
  }

  map(value: unknown, path: FieldPath): value is Fields {
    if (isMap(value)) return true;
    this.#add(path, value === undefined ? 'is required' : 'must be a map');
    return false;
  }

  #optionalMap(value: unknown, path: FieldPath): void {
    if (value !== undefined && value !== null) this.map(value, path);
  }

  #optional(value: unknown, type: 'string' | 'boolean', path: FieldPath): void {
    if (value === undefined || value === null || typeof value === type) return;
    this.#add(path, type === 'boolean' ? 'must be true or false' : 'must be a string');
  }

  #maps(value: unknown, path: FieldPath): Fields[] {
    if (value === undefined || value === null) return [];
    if (!Array.isArray(value)) this.#add(path, 'must be a list');
    else if (value.length > ITEMS_MAX) this.#add(path, `has more than ${ITEMS_MAX} items`);
    else return value.filter((item, index) => this.map(item, [...path, index]));
    return [];
  }

  #named(value: unknown, path: FieldPath): Fields[] {
    const items = this.#maps(value, path);
    items.forEach((item, index) => {
      if (typeof item['name'] === 'string') return;
      this.#add([...path, index, 'name'], 'is required, a string');
    });
    return items;
  }

  #add(path: FieldPath, message: string): void {
    if (this.problems.length < 20) this.problems.push({ path, message });
  }
}

export function isMap(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What stands in the pod's field, or nothing where it is absent or null. */
export function mapOf(value: unknown): Fields {
  return isMap(value) ? value : {};
}

function quoted(value: unknown): string {
  return ['number', 'boolean'].includes(typeof value) ? `"${String(value)}"` : 'it in quotes';
}
