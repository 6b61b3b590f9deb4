import { randomUUID } from 'node:crypto';
import { request as httpsRequest } from 'node:https';
import { isDeepStrictEqual } from 'node:util';
import type { KubernetesObject } from '../../../control-plane/kubernetes/kubernetes-object.ts';
import type { User } from './access.ts';
import { ApiError, badRequest } from './api-error.ts';
import { type Fields, isFields, list, object, text, texts } from './fields.ts';
import type { ObjectStore } from './object-store.ts';
import { applyJsonPatch } from './patches.ts';
import { matchesLabelSelector } from './selectors.ts';
import { BUILT_IN_KINDS, type ServedKind } from './served-kind.ts';

/** Where a webhook's service is: what kube-proxy does. Null = nobody serves it. */
export type ResolveService = (service: {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
}) => { readonly host: string; readonly port: number } | null;

export interface AdmissionRequest {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE';
  readonly kind: ServedKind;
  readonly version: string;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
  readonly object: KubernetesObject | null;
  readonly oldObject: KubernetesObject | null;
  readonly user: User;
  readonly dryRun: boolean;
}

interface Webhook {
  readonly name: string;
  readonly fields: Fields;
}

const MUTATING = configurationKind('mutatingwebhookconfigurations');
const VALIDATING = configurationKind('validatingwebhookconfigurations');
const NAMESPACES = configurationKind('namespaces');
const RESPONSE_BYTES_MAX = 3 * 1024 * 1024;

/** Calls the admission webhooks that the configuration objects name, as the API server does. */
export class Admission {
  readonly #store: ObjectStore;
  readonly #resolve: ResolveService;

  constructor(store: ObjectStore, resolve: ResolveService) {
    this.#store = store;
    this.#resolve = resolve;
  }

  /** The object as webhooks changed it (null for DELETE). Throws where one denies. `warnings` takes theirs. */
  async admit(request: AdmissionRequest, warnings: string[]): Promise<KubernetesObject | null> {
    if (request.kind.group === 'admissionregistration.k8s.io') return request.object;
    let { object } = request;
    const matching = this.#matching(MUTATING, request);
    const again: Webhook[] = [];
    const seen = new Map<Webhook, KubernetesObject | null>();
    for (const webhook of matching) {
      object = await this.#mutate(webhook, { ...request, object }, warnings);
      seen.set(webhook, object);
      if (text(webhook.fields, 'reinvocationPolicy') === 'IfNeeded') again.push(webhook);
    }
    // Once more for those that ask for it, where a later one changed what they had made.
    for (const webhook of again) {
      if (isDeepStrictEqual(seen.get(webhook), object)) continue;
      object = await this.#mutate(webhook, { ...request, object }, warnings);
    }
    const final = { ...request, object };
    await Promise.all(
      this.#matching(VALIDATING, final).map((webhook) => this.#ask(webhook, final, warnings)),
    );
    return object;
  }

  async #mutate(
    webhook: Webhook,
    request: AdmissionRequest,
    warnings: string[],
  ): Promise<KubernetesObject | null> {
    const response = await this.#ask(webhook, request, warnings);
    if (response === null || typeof response['patch'] !== 'string') return request.object;
    if (response['patchType'] !== 'JSONPatch') {
      throw internal(webhook, `unexpected patchType "${String(response['patchType'])}"`);
    }
    const patch: unknown = JSON.parse(Buffer.from(response['patch'], 'base64').toString('utf8'));
    return applyJsonPatch(request.object, patch) as KubernetesObject;
  }

  /** The response that allows; null where the webhook failed and that is to be ignored. Throws what denies. */
  async #ask(
    webhook: Webhook,
    request: AdmissionRequest,
    warnings: string[],
  ): Promise<Fields | null> {
    if (request.dryRun && !['None', 'NoneOnDryRun'].includes(text(webhook.fields, 'sideEffects'))) {
      throw badRequest(`admission webhook "${webhook.name}" does not support dry run`);
    }
    let response: Fields;
    try {
      response = await this.#call(webhook, request);
    } catch (error) {
      if (text(webhook.fields, 'failurePolicy') === 'Ignore') {
        warnings.push(`webhook ${webhook.name} failed and is ignored: ${(error as Error).message}`);
        return null;
      }
      throw internal(webhook, (error as Error).message);
    }
    warnings.push(...texts(response, 'warnings'));
    if (response['allowed'] === true) return response;
    const status = object(response, 'status');
    const code = typeof status['code'] === 'number' ? status['code'] : 403;
    const said = text(status, 'message') || text(status, 'reason');
    throw new ApiError(
      code,
      text(status, 'reason') || 'Forbidden',
      said === ''
        ? `admission webhook "${webhook.name}" denied the request without explanation`
        : `admission webhook "${webhook.name}" denied the request: ${said}`,
    );
  }

  async #call(webhook: Webhook, request: AdmissionRequest): Promise<Fields> {
    const { kind, version, operation, namespace, subresource, user } = request;
    const uid = randomUUID();
    const kindOf = { group: kind.group, version, kind: kind.kind };
    const resource = { group: kind.group, version, resource: kind.plural };
    const review = {
      kind: 'AdmissionReview',
      apiVersion: 'admission.k8s.io/v1',
      request: {
        uid,
        kind: kindOf,
        resource,
        ...(subresource !== '' && { subResource: subresource, requestSubResource: subresource }),
        requestKind: kindOf,
        requestResource: resource,
        ...(request.name !== '' && { name: request.name }),
        ...(namespace !== '' && { namespace }),
        operation,
        userInfo: {
          username: user.username,
          ...(user.uid !== '' && { uid: user.uid }),
          groups: user.groups,
        },
        object: request.object,
        oldObject: request.oldObject,
        dryRun: request.dryRun,
        options: {
          kind: `${operation[0]}${operation.slice(1).toLowerCase()}Options`,
          apiVersion: 'meta.k8s.io/v1',
        },
      },
    };
    const seconds = webhook.fields['timeoutSeconds'];
    const timeoutMs = (typeof seconds === 'number' ? seconds : 10) * 1000;
    const answer = await this.#post(object(webhook.fields, 'clientConfig'), review, timeoutMs);
    if (
      !isFields(answer) ||
      answer['kind'] !== 'AdmissionReview' ||
      answer['apiVersion'] !== 'admission.k8s.io/v1'
    ) {
      throw new Error('expected response of kind AdmissionReview, apiVersion admission.k8s.io/v1');
    }
    const response = answer['response'];
    if (!isFields(response)) throw new Error('webhook response is absent');
    if (response['uid'] !== uid) throw new Error(`expected response.uid="${uid}"`);
    return response;
  }

  #post(client: Fields, review: object, timeoutMs: number): Promise<unknown> {
    const target = this.#target(client);
    const body = JSON.stringify(review);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const sent = httpsRequest(
      {
        ...target,
        agent: false,
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
        path: `${target.path}${target.path.includes('?') ? '&' : '?'}timeout=${timeoutMs / 1000}s`,
        signal: AbortSignal.timeout(timeoutMs),
      },
      (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('error', reject);
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > RESPONSE_BYTES_MAX) sent.destroy(new Error('the response is too large'));
          chunks.push(chunk);
        });
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          if (response.statusCode !== 200) {
            reject(new Error(`the server answered ${response.statusCode}: ${text.slice(0, 300)}`));
            return;
          }
          try {
            resolve(JSON.parse(text));
          } catch (error) {
            reject(error as Error);
          }
        });
      },
    );
    sent.on('error', (error) =>
      reject(
        error.name === 'AbortError' || error.name === 'TimeoutError'
          ? new Error('context deadline exceeded')
          : error,
      ),
    );
    sent.end(body);
    return promise;
  }

  #target(client: Fields): {
    host: string;
    port: number;
    servername: string;
    path: string;
    ca?: string;
  } {
    const bundle = text(client, 'caBundle');
    const ca = bundle === '' ? {} : { ca: Buffer.from(bundle, 'base64').toString('utf8') };
    if (text(client, 'url') !== '') {
      const url = new URL(text(client, 'url'));
      const host = url.hostname.replace(/^\[|\]$/g, '');
      return {
        host,
        servername: host,
        port: Number(url.port || 443),
        path: url.pathname + url.search,
        ...ca,
      };
    }
    const service = object(client, 'service');
    const port = typeof service['port'] === 'number' ? service['port'] : 443;
    const name = text(service, 'name');
    const namespace = text(service, 'namespace');
    const found = this.#resolve({ namespace, name, port });
    if (found === null) throw new Error(`service "${namespace}/${name}" not found`);
    return {
      ...found,
      servername: `${name}.${namespace}.svc`,
      path: text(service, 'path') || '/',
      ...ca,
    };
  }

  /** In the order of the configurations' names. */
  #matching(configurations: ServedKind, request: AdmissionRequest): Webhook[] {
    return this.#store
      .list(configurations, '')
      .flatMap((configuration) => list(configuration as unknown as Fields, 'webhooks'))
      .filter(isFields)
      .filter((fields) => this.#matches(fields, request))
      .map((fields) => ({ name: text(fields, 'name'), fields }));
  }

  #matches(webhook: Fields, request: AdmissionRequest): boolean {
    const { kind, version, operation, subresource } = request;
    const has = (rule: Fields, name: string, value: string): boolean => {
      const values = texts(rule, name);
      return values.includes('*') || values.includes(value);
    };
    const resources = (rule: Fields): boolean => {
      const wanted = texts(rule, 'resources');
      if (subresource === '')
        return wanted.some((each) => ['*', '*/*', kind.plural].includes(each));
      return wanted.some((each) =>
        ['*/*', `*/${subresource}`, `${kind.plural}/*`, `${kind.plural}/${subresource}`].includes(
          each,
        ),
      );
    };
    const scope = (rule: Fields): boolean => {
      const wanted = text(rule, 'scope') || '*';
      return wanted === '*' || wanted === (kind.namespaced ? 'Namespaced' : 'Cluster');
    };
    const isRuled = list(webhook, 'rules')
      .filter(isFields)
      .some(
        (rule) =>
          has(rule, 'operations', operation) &&
          has(rule, 'apiGroups', kind.group) &&
          // matchPolicy Equivalent: another version of the kind matches as well, and is asked in the version at hand.
          (has(rule, 'apiVersions', version) ||
            (text(webhook, 'matchPolicy') !== 'Exact' &&
              kind.versions.some((each) => has(rule, 'apiVersions', each)))) &&
          resources(rule) &&
          scope(rule),
      );
    return isRuled && this.#isSelected(webhook, request);
  }

  #isSelected(webhook: Fields, request: AdmissionRequest): boolean {
    const { kind, namespace, object: now, oldObject } = request;
    const ofNamespace = object(webhook, 'namespaceSelector');
    if (kind.namespaced || kind.kind === 'Namespace') {
      const owner = kind.namespaced
        ? this.#store.get(NAMESPACES, '', namespace)
        : (now ?? oldObject);
      if (!matchesLabelSelector(ofNamespace, owner?.metadata.labels ?? {})) return false;
    }
    const ofObject = object(webhook, 'objectSelector');
    return [now, oldObject].some(
      (each) => each !== null && matchesLabelSelector(ofObject, each.metadata.labels ?? {}),
    );
  }
}

function internal(webhook: Webhook, message: string): ApiError {
  return new ApiError(
    500,
    'InternalError',
    `Internal error occurred: failed calling webhook "${webhook.name}": ${message}`,
  );
}

function configurationKind(plural: string): ServedKind {
  return BUILT_IN_KINDS.find((kind) => kind.plural === plural)!;
}
