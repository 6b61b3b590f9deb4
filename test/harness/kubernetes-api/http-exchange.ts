import type { IncomingMessage, ServerResponse } from 'node:http';
import { parse as parseYaml } from 'yaml';
import type { KubernetesObject } from '../../../control-plane/kubernetes/kubernetes-object.ts';
import { ApiError, badRequest } from './api-error.ts';
import type { RequestInfo } from './request-info.ts';

const BODY_BYTES_MAX = 3 * 1024 * 1024;

export async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += (chunk as Buffer).length;
    if (bytes > BODY_BYTES_MAX) {
      throw new ApiError(413, 'RequestEntityTooLarge', `limit is ${BODY_BYTES_MAX}`);
    }
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

export function parseBody(request: IncomingMessage, body: string): unknown {
  const type = (request.headers['content-type'] ?? 'application/json').split(';')[0]!.trim();
  try {
    if (type === 'application/yaml') return parseYaml(body);
    if (type !== 'application/json')
      throw new ApiError(
        415,
        'UnsupportedMediaType',
        `the body of the request was in an unknown format - accepted media types include: application/json, application/yaml`,
      );
    return JSON.parse(body);
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw badRequest((error as Error).message);
  }
}

export function send(
  response: ServerResponse,
  code: number,
  body: unknown,
  warnings: readonly string[] = [],
): void {
  const text = JSON.stringify(body);
  if (warnings.length > 0) {
    response.setHeader(
      'warning',
      warnings.map((each) => `299 - ${JSON.stringify(each)}`),
    );
  }
  response.writeHead(code, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

export function apiVersionOf({ kind, version }: RequestInfo): string {
  return kind.group === '' ? version : `${kind.group}/${version}`;
}

export function withVersion(each: KubernetesObject, info: RequestInfo): KubernetesObject {
  return { ...each, apiVersion: apiVersionOf(info), kind: info.kind.kind };
}
