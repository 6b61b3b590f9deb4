import type { AccessRequest } from './access.ts';
import type { ServedKind } from './served-kind.ts';

/** What a request for objects asks, from its method and path. */
export interface RequestInfo extends AccessRequest {
  readonly kind: ServedKind;
  readonly version: string;
}

const VERBS: Readonly<Record<string, string>> = {
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
};

/** `/api/v1/…` and `/apis/<group>/<version>/…`; undefined where no kind is served. */
export function requestInfo(
  method: string,
  segments: readonly string[],
  query: URLSearchParams,
  kinds: readonly ServedKind[],
): RequestInfo | undefined {
  const isCore = segments[0] === 'api';
  if (!isCore && segments[0] !== 'apis') return undefined;
  const group = isCore ? '' : (segments[1] ?? '');
  const version = segments[isCore ? 1 : 2];
  let rest = segments.slice(isCore ? 2 : 3);
  let namespace = '';
  // `/namespaces/<name>` itself, and its subresources, are about the Namespace.
  if (rest[0] === 'namespaces' && rest.length > 2 && !['status', 'finalize'].includes(rest[2]!)) {
    namespace = rest[1]!;
    rest = rest.slice(2);
  }
  const [plural, name = '', subresource = '', ...more] = rest;
  const kind = kinds.find(
    (each) =>
      each.group === group && each.plural === plural && each.versions.includes(version ?? ''),
  );
  if (kind === undefined || more.length > 0) return undefined;
  if (subresource !== '' && !kind.subresources.includes(subresource)) return undefined;
  const isNamespace = kind.plural === 'namespaces' && group === '';
  return {
    kind,
    version: version!,
    group,
    resource: kind.plural,
    subresource,
    namespace: isNamespace ? name : namespace,
    name,
    verb: verbOf(method, name, query),
  };
}

function verbOf(method: string, name: string, query: URLSearchParams): string {
  if (method === 'GET' || method === 'HEAD') {
    const watches = ['true', '1'].includes(query.get('watch') ?? '');
    if (watches) return 'watch';
    return name === '' ? 'list' : 'get';
  }
  if (method === 'DELETE') return name === '' ? 'deletecollection' : 'delete';
  return VERBS[method] ?? method.toLowerCase();
}
