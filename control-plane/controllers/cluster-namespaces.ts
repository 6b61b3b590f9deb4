import type { NamespaceLabels } from '../admission/pod-injector.ts';
import { Informer, type InformerOptions } from '../kubernetes/informer.ts';
import type { KubernetesClient } from '../kubernetes/kubernetes-client.ts';
import {
  asKubernetesObject,
  isRecord,
  type KubernetesObject,
} from '../kubernetes/kubernetes-object.ts';
import { NAMESPACES, objectPath } from '../kubernetes/resource-type.ts';

/** What the control plane asks of a namespace. */
export interface ClusterNamespace {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** On its way out: nothing can be made in it any more. */
  readonly isLeaving: boolean;
}

/** Milliseconds that a pod's creation may wait for the labels of its namespace; the API server waits 10 s for us. */
const ASK_MS = 2000;
/** Questions at once: whoever reaches the webhook must not turn us against the API server (A6.8). */
const ASKING_MAX = 16;

/** The namespaces of the cluster, followed. */
export class ClusterNamespaces implements NamespaceLabels {
  readonly #client: KubernetesClient;
  readonly #informer: Informer<ClusterNamespace>;
  #asking = 0;

  constructor(
    client: KubernetesClient,
    options: Pick<InformerOptions<unknown>, 'clock' | 'random' | 'log'>,
  ) {
    this.#client = client;
    this.#informer = new Informer({ ...options, client, type: NAMESPACES, project: namespaceOf });
  }

  start(): void {
    this.#informer.start();
  }

  get(name: string): ClusterNamespace | undefined {
    return this.#informer.get('', name);
  }

  names(): string[] {
    return [...this.#informer.read().values()].map(({ name }) => name);
  }

  /** Called with the names that came or changed. */
  onChange(listener: (names: readonly string[]) => void): () => void {
    return this.#informer.onChange((changes) =>
      listener(changes.flatMap(({ after }) => (after === undefined ? [] : [after.name]))),
    );
  }

  known(name: string): ClusterNamespace['labels'] | undefined {
    return this.get(name)?.labels;
  }

  async ask(name: string): Promise<ClusterNamespace['labels'] | undefined> {
    if (this.#asking >= ASKING_MAX) return undefined;
    this.#asking++;
    const path = objectPath(NAMESPACES, '', name);
    const read = await this.#client.request({ method: 'GET', path, timeoutMs: ASK_MS });
    this.#asking--;
    const object = read.ok ? asKubernetesObject(read.value) : null;
    return object === null ? undefined : namespaceOf(object).labels;
  }

  close(): void {
    this.#informer.close();
  }
}

function namespaceOf({ metadata, status }: KubernetesObject): ClusterNamespace {
  const labels: Record<string, string> = Object.create(null);
  for (const [name, value] of Object.entries(isRecord(metadata.labels) ? metadata.labels : {})) {
    if (typeof value === 'string') labels[name] = value;
  }
  const isTerminating = isRecord(status) && status['phase'] === 'Terminating';
  return {
    name: metadata.name,
    labels,
    isLeaving: isTerminating || metadata.deletionTimestamp !== undefined,
  };
}
