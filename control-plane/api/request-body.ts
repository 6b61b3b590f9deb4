import type { IncomingMessage } from 'node:http';
import type { JsonReply } from './api-routes.ts';
import { failure } from './status.ts';

/** Bytes of a request body, as Kubernetes' own limit. */
export const BODY_BYTES_MAX = 3 * 1024 * 1024;

/** By method: types that are read as an object. A browser form can send none of them without asking first (A7.1). */
const CONTENT_TYPES: Readonly<Record<string, readonly string[]>> = {
  POST: ['application/json', 'application/yaml'],
  PUT: ['application/json', 'application/yaml'],
  PATCH: ['application/merge-patch+json'],
  DELETE: ['application/json', 'application/yaml', ''],
};

export type RequestBody =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'refused'; readonly reply: JsonReply }
  /** The caller left before the end. */
  | { readonly kind: 'aborted' };

export async function readBody(request: IncomingMessage): Promise<RequestBody> {
  const allowed = CONTENT_TYPES[request.method ?? ''];
  if (allowed === undefined) return { kind: 'text', text: '' };
  const type = (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
  if (!allowed.includes(type)) {
    const wanted = allowed.filter((name) => name !== '').join(' or ');
    return refuse(failure('UnsupportedMediaType', `content-type must be ${wanted}`));
  }
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > BODY_BYTES_MAX) return refuse(tooLarge());
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request) {
      bytes += (chunk as Buffer).length;
      if (bytes > BODY_BYTES_MAX) return refuse(tooLarge());
      chunks.push(chunk as Buffer);
    }
  } catch {
    return { kind: 'aborted' };
  }
  try {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    return { kind: 'text', text: decoder.decode(Buffer.concat(chunks)) };
  } catch {
    return refuse(failure('BadRequest', 'the body is not UTF-8'));
  }
}

function tooLarge(): JsonReply {
  return failure('RequestEntityTooLarge', `the body is larger than ${BODY_BYTES_MAX} bytes`);
}

function refuse(reply: JsonReply): RequestBody {
  return { kind: 'refused', reply };
}
