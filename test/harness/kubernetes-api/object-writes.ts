import { isDeepStrictEqual } from 'node:util';
import { parse as parseYaml } from 'yaml';
import type { KubernetesObject } from '../../../control-plane/kubernetes/kubernetes-object.ts';
import type { User } from './access.ts';
import type { Admission } from './admission.ts';
import { ApiError, badRequest, conflict, invalid, notFound } from './api-error.ts';
import { customKind } from './custom-kind.ts';
import { ClusterAddresses, newMetadata, timestamp, withBuiltInDefaults } from './defaults.ts';
import { copy, type Fields, isFields, object, text } from './fields.ts';
import type { ObjectStore } from './object-store.ts';
import { applyJsonPatch, applyMergePatch, applyStrategicPatch } from './patches.ts';
import type { RequestInfo } from './request-info.ts';
import { BUILT_IN_KINDS, type ServedKind } from './served-kind.ts';
import { serverSideApply } from './server-side-apply.ts';

export interface WriteRequest {
  readonly info: RequestInfo;
  readonly user: User;
  readonly dryRun: boolean;
  readonly fieldManager: string;
  readonly warnings: string[];
}

const NAMESPACES = BUILT_IN_KINDS.find(({ plural }) => plural === 'namespaces')!;
const SERVICE_ACCOUNTS = BUILT_IN_KINDS.find(({ plural }) => plural === 'serviceaccounts')!;
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
/** How often a patch without resourceVersion is made again where somebody else was faster. */
const PATCH_ATTEMPTS = 5;

/** Create, update, patch and delete, with defaults, admission and compare-and-set. */
export class ObjectWrites {
  readonly #store: ObjectStore;
  readonly #admission: Admission;
  readonly #kinds: () => readonly ServedKind[];
  readonly #addresses = new ClusterAddresses();

  constructor(store: ObjectStore, admission: Admission, kinds: () => readonly ServedKind[]) {
    this.#store = store;
    this.#admission = admission;
    this.#kinds = kinds;
  }

  async create(request: WriteRequest, body: unknown): Promise<KubernetesObject> {
    const { info } = request;
    const { kind, namespace } = info;
    let made = checkedBody(info, body);
    const { name = '', generateName } = made.metadata as { name?: string; generateName?: string };
    if (name === '' && (generateName ?? '') === '') {
      throw invalid(
        kind.kind,
        '',
        'metadata.name',
        'Required value: name or generateName is required',
      );
    }
    this.#needNamespace(kind, namespace);
    const inNamespace = kind.namespaced ? namespace : '';
    if (kind.namespaced) made = { ...made, metadata: { ...made.metadata, namespace } };
    made = withBuiltInDefaults(kind, made, this.#addresses);
    const admitted = await this.#admit(request, 'CREATE', made, null, name);
    const metadata = newMetadata(admitted.metadata, inNamespace);
    if (!DNS_SUBDOMAIN.test(metadata.name) && kind.group !== 'rbac.authorization.k8s.io') {
      throw invalid(
        kind.kind,
        metadata.name,
        'metadata.name',
        `Invalid value: "${metadata.name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'`,
      );
    }
    if (this.#store.get(kind, inNamespace, metadata.name) !== undefined) {
      const what = kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`;
      throw new ApiError(409, 'AlreadyExists', `${what} "${metadata.name}" already exists`, {
        name: metadata.name,
        kind: kind.plural,
        ...(kind.group !== '' && { group: kind.group }),
      });
    }
    let stored: KubernetesObject = { ...admitted, metadata };
    // Status is written by its own subresource.
    if (kind.isCustom && kind.subresources.includes('status')) stored = omit(stored, 'status');
    if (kind.plural === 'customresourcedefinitions') customKind(stored as unknown as Fields);
    if (request.dryRun) return stored;
    const result = this.#store.put(kind, stored);
    if (kind === NAMESPACES) this.#makeDefaultAccount(metadata.name);
    return result;
  }

  async update(request: WriteRequest, body: unknown): Promise<KubernetesObject> {
    const { kind, name, namespace } = request.info;
    const next = checkedBody(request.info, body);
    if (next.metadata.name !== name) {
      throw badRequest(
        `the name of the object (${next.metadata.name}) does not match the name on the URL (${name})`,
      );
    }
    const live = this.#store.get(kind, kind.namespaced ? namespace : '', name);
    if (live === undefined) throw notFound(kind.group, kind.plural, name);
    return this.#replace(request, live, next);
  }

  /** `contentType`: one of the four patch types. `force` is of server-side apply. */
  async patch(
    request: WriteRequest,
    contentType: string,
    body: string,
    force: boolean,
  ): Promise<KubernetesObject> {
    const { kind, name, namespace } = request.info;
    const inNamespace = kind.namespaced ? namespace : '';
    for (let attempt = 1; ; attempt++) {
      const live = this.#store.get(kind, inNamespace, name);
      if (contentType === 'application/apply-patch+yaml') {
        return this.#apply(request, live, body, force);
      }
      if (live === undefined) throw notFound(kind.group, kind.plural, name);
      const shown = withVersion(live, request.info);
      const next = patched(kind, contentType, shown, readJson(body)) as KubernetesObject;
      if (next.metadata?.name !== name)
        throw invalid(kind.kind, name, 'metadata.name', 'Invalid value: field is immutable');
      try {
        return await this.#replace(request, live, next);
      } catch (error) {
        const isConditional = next.metadata.resourceVersion !== live.metadata.resourceVersion;
        const isConflict = error instanceof ApiError && error.reason === 'Conflict';
        if (!isConflict || isConditional || attempt === PATCH_ATTEMPTS) throw error;
      }
    }
  }

  /** The object where it is still to be finalized, else undefined: it is gone. */
  async delete(request: WriteRequest, options: Fields): Promise<KubernetesObject | undefined> {
    const { kind, name, namespace } = request.info;
    const inNamespace = kind.namespaced ? namespace : '';
    const live = this.#store.get(kind, inNamespace, name);
    if (live === undefined) throw notFound(kind.group, kind.plural, name);
    const preconditions = object(options, 'preconditions');
    for (const field of ['uid', 'resourceVersion'] as const) {
      const wanted = text(preconditions, field);
      if (wanted !== '' && wanted !== live.metadata[field])
        throw conflict(kind.group, kind.plural, name);
    }
    await this.#admission.admit(
      { ...admissionOf(request, name), operation: 'DELETE', object: null, oldObject: live },
      request.warnings,
    );
    if (request.dryRun) return undefined;
    if ((live.metadata.finalizers ?? []).length > 0) {
      if (live.metadata.deletionTimestamp !== undefined) return live;
      const metadata = { ...live.metadata, deletionTimestamp: timestamp() };
      return this.#store.put(kind, { ...live, metadata });
    }
    this.remove(kind, inNamespace, name);
    return undefined;
  }

  /** Without asking anybody. With a Namespace go its objects, with a definition the objects of its kind. */
  remove(kind: ServedKind, namespace: string, name: string): void {
    const gone = this.#store.delete(kind, namespace, name);
    if (gone === undefined) return;
    if (kind === NAMESPACES) {
      for (const each of this.#kinds().filter(
        ({ namespaced, isVirtual }) => namespaced && !isVirtual,
      )) {
        for (const { metadata } of this.#store.list(each, name))
          this.remove(each, name, metadata.name);
      }
    } else if (kind.plural === 'customresourcedefinitions') {
      const custom = customKind(gone as unknown as Fields);
      for (const { metadata } of this.#store.list(custom, '')) {
        this.remove(custom, metadata.namespace ?? '', metadata.name);
      }
    }
    this.#collectGarbage(gone);
  }

  /** Writes as the server's own controllers would: no admission, no compare-and-set. */
  put(kind: ServedKind, given: KubernetesObject): KubernetesObject {
    const namespace = kind.namespaced ? (given.metadata.namespace ?? 'default') : '';
    const live = this.#store.get(kind, namespace, given.metadata.name);
    if (live === undefined) {
      const made = withBuiltInDefaults(kind, given, this.#addresses);
      return this.#store.put(kind, { ...made, metadata: newMetadata(made.metadata, namespace) });
    }
    const { uid, creationTimestamp } = live.metadata;
    const metadata = { ...given.metadata, ...(namespace !== '' && { namespace }) };
    return this.#store.put(kind, {
      ...given,
      metadata: {
        ...metadata,
        ...nextGeneration(live, given),
        uid: uid!,
        creationTimestamp: creationTimestamp!,
      },
    });
  }

  async #apply(
    request: WriteRequest,
    live: KubernetesObject | undefined,
    body: string,
    force: boolean,
  ): Promise<KubernetesObject> {
    const { info, fieldManager } = request;
    if (fieldManager === '')
      throw badRequest(
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
      );
    const applied: unknown = parseYaml(body);
    if (!isFields(applied)) throw badRequest('the patch is no object');
    checkedBody(info, applied);
    const shown = live === undefined ? undefined : withVersion(live, info);
    applied['metadata'] = { ...object(applied, 'metadata'), name: info.name };
    const next = serverSideApply(shown, applied, fieldManager, force);
    if (live !== undefined) return this.#replace(request, live, next);
    const creation = { ...request, info: { ...info, name: '' } };
    return this.create(creation, next);
  }

  async #replace(
    request: WriteRequest,
    live: KubernetesObject,
    wanted: KubernetesObject,
  ): Promise<KubernetesObject> {
    const { info, dryRun } = request;
    const { kind, name, subresource } = info;
    const { resourceVersion = '', uid } = wanted.metadata;
    const isOld = (): boolean =>
      resourceVersion !== '' && resourceVersion !== live.metadata.resourceVersion;
    if (isOld() || (uid !== undefined && uid !== live.metadata.uid)) {
      throw conflict(kind.group, kind.plural, name);
    }
    const next = await this.#admit(request, 'UPDATE', merged(info, live, wanted), live, name);
    const inNamespace = live.metadata.namespace ?? '';
    const now = this.#store.get(kind, inNamespace, name);
    if (now === undefined) throw notFound(kind.group, kind.plural, name);
    if (now.metadata.resourceVersion !== live.metadata.resourceVersion) {
      throw conflict(kind.group, kind.plural, name);
    }
    const metadata = {
      ...next.metadata,
      ...(subresource === ''
        ? nextGeneration(live, next)
        : { generation: live.metadata.generation ?? 1 }),
    };
    const stored = { ...next, metadata };
    if (kind.plural === 'customresourcedefinitions') customKind(stored as unknown as Fields);
    // A write that changes nothing is none.
    const { resourceVersion: _old, ...before } = live.metadata;
    const { resourceVersion: _new, ...after } = metadata as KubernetesObject['metadata'];
    if (isDeepStrictEqual({ ...live, metadata: before }, { ...stored, metadata: after }))
      return live;
    if (dryRun) return stored;
    const isFinalized =
      live.metadata.deletionTimestamp !== undefined && (metadata.finalizers ?? []).length === 0;
    const result = this.#store.put(kind, stored);
    if (isFinalized) this.remove(kind, inNamespace, name);
    return result;
  }

  async #admit(
    request: WriteRequest,
    operation: 'CREATE' | 'UPDATE',
    made: KubernetesObject,
    oldObject: KubernetesObject | null,
    name: string,
  ): Promise<KubernetesObject> {
    const admitted = await this.#admission.admit(
      { ...admissionOf(request, name), operation, object: made, oldObject },
      request.warnings,
    );
    return admitted!;
  }

  #needNamespace(kind: ServedKind, namespace: string): void {
    if (!kind.namespaced) return;
    if (namespace === '') throw badRequest('an empty namespace may not be set during creation');
    if (this.#store.get(NAMESPACES, '', namespace) === undefined)
      throw notFound('', 'namespaces', namespace);
  }

  #makeDefaultAccount(namespace: string): void {
    this.put(SERVICE_ACCOUNTS, {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'default', namespace },
    });
  }

  /** Dependents of what is gone. */
  #collectGarbage(owner: KubernetesObject): void {
    const { uid, namespace = '' } = owner.metadata;
    for (const kind of this.#kinds().filter((each) => !each.isVirtual)) {
      for (const { metadata } of this.#store.list(kind, kind.namespaced ? namespace : '')) {
        const isOwned = (metadata.ownerReferences ?? []).some((each) => each.uid === uid);
        if (isOwned) this.remove(kind, metadata.namespace ?? '', metadata.name);
      }
    }
  }
}

function admissionOf(request: WriteRequest, name: string) {
  const { info, user, dryRun } = request;
  const { kind, version, subresource } = info;
  const namespace = kind.namespaced ? info.namespace : '';
  return { kind, version, namespace, name, subresource, user, dryRun };
}

/** The stored form of an update: what this endpoint may not write stays as it is. */
function merged(
  info: RequestInfo,
  live: KubernetesObject,
  next: KubernetesObject,
): KubernetesObject {
  const { kind, subresource } = info;
  if (subresource === 'status') {
    const metadata = {
      ...live.metadata,
      managedFields: next.metadata['managedFields'] ?? live.metadata['managedFields'],
    };
    if (metadata.managedFields === undefined) delete (metadata as Fields)['managedFields'];
    return { ...live, metadata: metadata as KubernetesObject['metadata'], status: next['status'] };
  }
  const { uid, creationTimestamp, deletionTimestamp, namespace, generation } = live.metadata;
  const metadata = {
    ...next.metadata,
    uid: uid!,
    creationTimestamp: creationTimestamp!,
    ...(generation !== undefined && { generation }),
    ...(namespace !== undefined && { namespace }),
    ...(deletionTimestamp !== undefined && { deletionTimestamp }),
  };
  const result: KubernetesObject = { ...next, metadata };
  if (!kind.subresources.includes('status')) return result;
  return live['status'] === undefined
    ? omit(result, 'status')
    : { ...result, status: live['status'] };
}

function nextGeneration(live: KubernetesObject, next: KubernetesObject): { generation: number } {
  const { generation = 1 } = live.metadata;
  const content = ({ metadata: _metadata, status: _status, ...rest }: KubernetesObject): Fields =>
    rest;
  return {
    generation: isDeepStrictEqual(content(live), content(next)) ? generation : generation + 1,
  };
}

function patched(
  kind: ServedKind,
  contentType: string,
  live: KubernetesObject,
  patch: unknown,
): unknown {
  switch (contentType) {
    case 'application/merge-patch+json':
      return applyMergePatch(live, patch);
    case 'application/json-patch+json':
      return applyJsonPatch(live, patch);
    case 'application/strategic-merge-patch+json':
      if (!kind.isCustom) return applyStrategicPatch(copy(live), patch);
      break;
  }
  throw new ApiError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml`,
  );
}

/** The body as an object of the URL's kind and namespace, in the stored version. */
function checkedBody(info: RequestInfo, body: unknown): KubernetesObject {
  const { kind, version } = info;
  if (!isFields(body)) throw badRequest('the body is no object');
  const wanted = kind.group === '' ? version : `${kind.group}/${version}`;
  const said = `${text(body, 'apiVersion')}, Kind=${text(body, 'kind')}`;
  if (said !== `${wanted}, Kind=${kind.kind}`) {
    throw badRequest(
      `the API version in the data (${said}) does not match the expected API version (${wanted}, Kind=${kind.kind})`,
    );
  }
  const metadata = object(body, 'metadata');
  const namespace = text(metadata, 'namespace');
  if (kind.namespaced && namespace !== '' && namespace !== info.namespace) {
    throw badRequest(
      `the namespace of the provided object does not match the namespace sent on the request (${namespace}, ${info.namespace})`,
    );
  }
  return { ...body, metadata } as unknown as KubernetesObject;
}

function withVersion(live: KubernetesObject, { kind, version }: RequestInfo): KubernetesObject {
  return { ...live, apiVersion: kind.group === '' ? version : `${kind.group}/${version}` };
}

function omit(from: KubernetesObject, field: string): KubernetesObject {
  const { [field]: _gone, ...rest } = from;
  return rest as KubernetesObject;
}

function readJson(body: string): unknown {
  try {
    // kubectl sends YAML nowhere but in apply; JSON is YAML.
    return JSON.parse(body);
  } catch (error) {
    throw badRequest((error as Error).message);
  }
}
