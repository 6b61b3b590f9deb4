import type { KubernetesObject } from '../../../control-plane/kubernetes/kubernetes-object.ts';
import { ApiError, badRequest, expired } from './api-error.ts';
import type { Faults } from './faults.ts';
import type { ObjectStore } from './object-store.ts';

export interface AskedPage {
  readonly revision: number;
  /** Key after which it begins; '' = at the start. */
  readonly after: string;
  /** 0 = everything. */
  readonly limit: number;
}

/** Which page of which moment a list asks for. Throws where that is forgotten (410) or still to come (504). */
export function askedPage(query: URLSearchParams, store: ObjectStore, faults: Faults): AskedPage {
  const { staleRevision, pageMax } = faults;
  const asked = Number(query.get('limit') ?? 0);
  const limit = pageMax > 0 ? Math.min(asked || pageMax, pageMax) : asked;
  const token = query.get('continue') ?? '';
  const { compactedRevision } = store;
  if (token !== '') {
    const { revision, after } = readContinue(token);
    if (revision < compactedRevision) throw expired(String(revision), compactedRevision);
    return { revision, after, limit };
  }
  const newest = staleRevision > 0 ? staleRevision : store.revision;
  const version = query.get('resourceVersion') ?? '';
  if (version === '' || version === '0') return { revision: newest, after: '', limit };
  const wanted = revisionOf(version);
  if (wanted > newest) throw tooLarge(wanted, newest);
  if (query.get('resourceVersionMatch') !== 'Exact') return { revision: newest, after: '', limit };
  if (wanted < compactedRevision) throw expired(version, compactedRevision);
  return { revision: wanted, after: '', limit };
}

export function keyOf({ metadata }: KubernetesObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

export function revisionOf(version: string): number {
  if (!/^[0-9]{1,15}$/.test(version))
    throw badRequest(`Invalid value: "${version}": invalid resource version`);
  return Number(version);
}

function readContinue(token: string): { revision: number; after: string } {
  try {
    return JSON.parse(Buffer.from(token, 'base64url').toString('utf8')) as {
      revision: number;
      after: string;
    };
  } catch {
    throw badRequest('continue key is not valid');
  }
}

export function tooLarge(wanted: number, newest: number): ApiError {
  return new ApiError(504, 'Timeout', `Too large resource version: ${wanted}, current: ${newest}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  });
}

/** The token that `askedPage` reads. */
export function continueToken(revision: number, last: KubernetesObject): string {
  return Buffer.from(JSON.stringify({ revision, after: keyOf(last) })).toString('base64url');
}
