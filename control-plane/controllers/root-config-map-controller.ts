import type { Clock } from '../clock.ts';
import { Informer, type InformerLog } from '../kubernetes/informer.ts';
import type { KubernetesClient } from '../kubernetes/kubernetes-client.ts';
import { isRecord } from '../kubernetes/kubernetes-object.ts';
import { ROOT_CONFIG_MAP } from '../kubernetes/own-objects.ts';
import { CONFIG_MAPS } from '../kubernetes/resource-type.ts';
import type { ClusterNamespaces } from './cluster-namespaces.ts';
import { type Reconciled, WorkQueue } from './work-queue.ts';

export interface RootConfigMapControllerOptions {
  readonly client: KubernetesClient;
  readonly namespaces: ClusterNamespaces;
  /** Every root that is trusted now, PEM. */
  readonly rootsPem: () => string;
  readonly mayWrite: () => boolean;
  /** Namespaces that get none. */
  readonly ignored: readonly string[];
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: InformerLog & { error(fields: object, message: string): void };
}

/** What injected pods mount, and its only key. */
const ROOT_CONFIG_MAP_KEY = 'root-cert.pem';

/**
 * The mesh's roots as ConfigMap `weft-ca-root-cert` in each namespace, for pods that are not part of the mesh yet:
 * made with a namespace, mended where somebody changed or deleted it, renewed with the roots. Other keys stay.
 */
export class RootConfigMapController {
  readonly #options: RootConfigMapControllerOptions;
  /** Their root, by namespace. */
  readonly #configMaps: Informer<{ readonly rootsPem: unknown }>;
  readonly #queue: WorkQueue;
  readonly #stop: () => void;

  constructor(options: RootConfigMapControllerOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      clock: options.clock,
      random: options.random,
      reconcile: (namespace) => this.#reconcile(namespace),
      mayRun: () => options.mayWrite() && this.#configMaps.synced,
      perSecond: 50,
      burst: 100,
      onError: (error, namespace) =>
        options.log.error({ err: error, namespace }, 'root ConfigMap not written'),
    });
    this.#stop = options.namespaces.onChange((names) => {
      for (const name of names) this.#queue.add(name);
    });
    this.#configMaps = new Informer({
      ...options,
      type: CONFIG_MAPS,
      fieldSelector: `metadata.name=${ROOT_CONFIG_MAP}`,
      project: ({ data, metadata }) =>
        metadata.name === ROOT_CONFIG_MAP
          ? { rootsPem: isRecord(data) ? data[ROOT_CONFIG_MAP_KEY] : undefined }
          : null,
    });
    this.#configMaps.onChange((changes) => {
      for (const { key } of changes) this.#queue.add(key.split('/', 1)[0]!);
    });
    void this.#configMaps.whenSynced().then(() => this.refresh());
  }

  start(): void {
    this.#configMaps.start();
  }

  /** Looks at everything again: the roots changed, or this replica begins to lead. */
  refresh(): void {
    for (const name of this.#options.namespaces.names()) this.#queue.add(name);
  }

  close(): void {
    this.#queue.close();
    this.#stop();
    this.#configMaps.close();
  }

  async #reconcile(namespace: string): Promise<Reconciled> {
    const { client, namespaces, ignored, log } = this.#options;
    const state = namespaces.get(namespace);
    if (state === undefined || state.isLeaving || ignored.includes(namespace)) {
      return 'unchanged';
    }
    const rootsPem = this.#options.rootsPem();
    const current = this.#configMaps.get(namespace, ROOT_CONFIG_MAP);
    if (current?.rootsPem === rootsPem) return 'unchanged';
    const data = { [ROOT_CONFIG_MAP_KEY]: rootsPem };
    const written =
      current === undefined
        ? await client.create(CONFIG_MAPS, {
            apiVersion: 'v1',
            kind: 'ConfigMap',
            metadata: { name: ROOT_CONFIG_MAP, namespace, labels: { 'weft.dev/config': 'true' } },
            data,
          })
        : await client.patch(CONFIG_MAPS, namespace, ROOT_CONFIG_MAP, 'merge', { data });
    if (written.ok) {
      log.info({ namespace }, 'root ConfigMap written');
      return 'written';
    }
    const { code, reason, message } = written.failure;
    // The namespace is going, or another replica was here; in doubt the informers will say.
    if (reason === 'NamespaceTerminating' || (code === 403 && message.includes('terminated'))) {
      return 'unchanged';
    }
    if (reason !== 'AlreadyExists') {
      log.warn({ namespace }, `root ConfigMap not written: ${message}`);
    }
    return 'failed';
  }
}
