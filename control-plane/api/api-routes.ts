import type { IncomingHttpHeaders } from 'node:http';

/** What a handler sees of a request: everything is read and bounded, the caller is allowed in. */
export interface ApiRequest {
  readonly method: string;
  /** Decoded, without the query. */
  readonly path: string;
  /** Values of the `:name` parts of the route. */
  readonly params: ReadonlyMap<string, string>;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** UTF-8 text; empty where there is none. */
  readonly body: string;
}

export type ApiReply = JsonReply | TextReply | StreamReply;

export interface JsonReply {
  readonly kind: 'json';
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface TextReply {
  readonly kind: 'text';
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** An answer without end, such as a watch. Counts towards the server's limit of streams. */
export interface StreamReply {
  readonly kind: 'stream';
  readonly contentType: string;
  /** Called once the head is sent. Gives what to do when the caller leaves, is dropped, or the server stops. */
  readonly start: (sink: StreamSink) => () => void;
}

export interface StreamSink {
  /** A reader too far behind is disconnected: it comes back and resumes. */
  write(text: string): void;
  end(): void;
}

export type ApiHandler = (request: ApiRequest) => ApiReply | Promise<ApiReply>;

export type RouteMatch =
  | {
      readonly kind: 'found';
      readonly handler: ApiHandler;
      readonly params: ReadonlyMap<string, string>;
    }
  | { readonly kind: 'methodNotAllowed'; readonly allowed: readonly string[] }
  | { readonly kind: 'notFound' };

interface Route {
  readonly method: string;
  readonly segments: readonly string[];
  readonly handler: ApiHandler;
}

/**
 * Routes beside the resources: other parts of the control plane hang theirs here, under `/weft/v1/`. A `:name` segment
 * takes any one segment; routes are tried in the order in which they were added.
 */
export class ApiRoutes {
  readonly #routes: Route[] = [];

  add(method: 'GET' | 'POST' | 'DELETE', pattern: `/${string}`, handler: ApiHandler): this {
    this.#routes.push({ method, segments: pattern.slice(1).split('/'), handler });
    return this;
  }

  match(method: string, segments: readonly string[]): RouteMatch {
    const allowed = new Set<string>();
    for (const route of this.#routes) {
      const params = paramsOf(route.segments, segments);
      if (params === undefined) continue;
      if (route.method === method) return { kind: 'found', handler: route.handler, params };
      allowed.add(route.method);
    }
    return allowed.size === 0
      ? { kind: 'notFound' }
      : { kind: 'methodNotAllowed', allowed: [...allowed] };
  }
}

function paramsOf(
  pattern: readonly string[],
  segments: readonly string[],
): Map<string, string> | undefined {
  if (pattern.length !== segments.length) return undefined;
  const params = new Map<string, string>();
  for (const [index, part] of pattern.entries()) {
    const segment = segments[index]!;
    if (part.startsWith(':')) params.set(part.slice(1), segment);
    else if (part !== segment) return undefined;
  }
  return params;
}

export function json(status: number, body: unknown): JsonReply {
  return { kind: 'json', status, body };
}

export function plainText(status: number, body: string): TextReply {
  return { kind: 'text', status, contentType: 'text/plain; charset=utf-8', body };
}
