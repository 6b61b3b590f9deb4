import type { Clock } from '../clock.ts';
import { Informer, type InformerLog } from '../kubernetes/informer.ts';
import type { KubernetesClient } from '../kubernetes/kubernetes-client.ts';
import { isRecord, type KubernetesObject } from '../kubernetes/kubernetes-object.ts';
import { CA_BUNDLE_LABEL } from '../kubernetes/own-objects.ts';
import {
  MUTATING_WEBHOOKS,
  type ResourceType,
  VALIDATING_WEBHOOKS,
} from '../kubernetes/resource-type.ts';
import { type Reconciled, WorkQueue } from './work-queue.ts';

export interface CaBundleControllerOptions {
  readonly client: KubernetesClient;
  /** Of this control plane: only webhooks that call a Service there are ours. */
  readonly namespace: string;
  /** Every root that is trusted now, PEM; two while they are changed. */
  readonly rootsPem: () => string;
  readonly mayWrite: () => boolean;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: InformerLog & { error(fields: object, message: string): void };
}

/**
 * Keeps `webhooks[].clientConfig.caBundle` of our Mutating- and ValidatingWebhookConfigurations at the mesh's roots,
 * so that the API server trusts port 15017: when one is installed, when somebody empties it, when a root is added or
 * dropped. Ours is what carries the label `weft.dev/inject-ca-bundle: "true"` and calls a Service of our namespace, or a
 * URL. Nothing else in the object is touched.
 */
export class CaBundleController {
  readonly #options: CaBundleControllerOptions;
  readonly #sources: readonly Informer<KubernetesObject>[];
  readonly #queue: WorkQueue;

  constructor(options: CaBundleControllerOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      clock: options.clock,
      random: options.random,
      reconcile: (key) => this.#reconcile(key),
      mayRun: options.mayWrite,
      // Another controller that insists on other roots costs no more than this.
      perSecond: 1,
      burst: 10,
      onError: (error, key) => options.log.error({ err: error, key }, 'caBundle not written'),
    });
    this.#sources = [MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS].map((type) => {
      const informer = new Informer({
        ...options,
        type,
        labelSelector: `${CA_BUNDLE_LABEL}=true`,
        project: (object) => object,
      });
      informer.onChange((changes) => {
        for (const { key, after } of changes) {
          if (after !== undefined) this.#queue.add(`${type.plural}${key}`);
        }
      });
      return informer;
    });
  }

  start(): void {
    for (const source of this.#sources) source.start();
  }

  /** Looks at everything again: the roots changed, or this replica begins to lead. */
  refresh(): void {
    for (const source of this.#sources) {
      for (const key of source.read().keys()) this.#queue.add(`${source.type.plural}${key}`);
    }
  }

  close(): void {
    this.#queue.close();
    for (const source of this.#sources) source.close();
  }

  async #reconcile(queueKey: string): Promise<Reconciled> {
    const [plural, name = ''] = queueKey.split('/');
    const source = this.#sources.find(({ type }) => type.plural === plural);
    const object = source?.get('', name);
    if (source === undefined || object === undefined) return 'unchanged';
    const caBundle = Buffer.from(this.#options.rootsPem()).toString('base64');
    const changes = this.#outdated(object, caBundle).map((index) => ({
      op: 'add',
      path: `/webhooks/${index}/clientConfig/caBundle`,
      value: caBundle,
    }));
    if (changes.length === 0) return 'unchanged';
    return this.#patch(source.type, object, changes);
  }

  /** Indices of our webhooks that have other roots. */
  #outdated(object: KubernetesObject, caBundle: string): number[] {
    const webhooks = Array.isArray(object['webhooks']) ? (object['webhooks'] as unknown[]) : [];
    return [...webhooks.keys()].filter((index) => {
      const webhook = webhooks[index];
      const config = isRecord(webhook) ? webhook['clientConfig'] : undefined;
      if (!isRecord(config) || config['caBundle'] === caBundle) return false;
      const { service, url } = config;
      if (typeof url === 'string') return true;
      return isRecord(service) && service['namespace'] === this.#options.namespace;
    });
  }

  async #patch(
    type: ResourceType,
    { metadata }: KubernetesObject,
    changes: readonly object[],
  ): Promise<Reconciled> {
    const { client, log } = this.#options;
    const { name, resourceVersion } = metadata;
    // Positions hold for this version only; where it is another by now, its event is on the way.
    const test = { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion };
    const patched = await client.patch(type, '', name, 'json', [test, ...changes]);
    const fields = { kind: type.kind, name, webhooks: changes.length };
    if (patched.ok) {
      log.info(fields, 'caBundle written');
      return 'written';
    }
    if (patched.failure.code === 404) return 'unchanged';
    log.warn(fields, `caBundle not written: ${patched.failure.message}`);
    return 'failed';
  }
}
