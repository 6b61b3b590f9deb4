import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { printable } from '../kinds/problem.ts';
import type { JsonReply } from './api-routes.ts';
import { failure } from './status.ts';

export interface GuardOptions {
  /** Where the server listens: an IP address or `localhost`. */
  readonly host: string;
  /** Required where `host` can be reached from other machines. */
  readonly token: string | undefined;
}

/** Probes come without credentials, and say nothing but yes or no. */
const OPEN_PATHS = new Set(['/healthz', '/livez', '/readyz']);

/**
 * Who may use the API: on loopback every local process, elsewhere who has the token. Browsers are kept out on loopback
 * (threat A7.1): a page of another site cannot name this server in `Host`, nor hide its own `Origin`.
 */
export class RequestGuard {
  readonly #loopback: boolean;
  readonly #tokenDigest: Buffer | undefined;

  /** Throws where the server would be open to the network. */
  constructor({ host, token }: GuardOptions) {
    this.#loopback = isLoopback(host);
    if (token !== undefined && token.length < 16) {
      throw new Error('the API token is too short; use at least 16 characters');
    }
    if (!this.#loopback && token === undefined) {
      throw new Error(
        `the API would listen on ${host} without a token; set a token, or listen on 127.0.0.1`,
      );
    }
    this.#tokenDigest = token === undefined ? undefined : digest(token);
  }

  /** Undefined = allowed. */
  check(path: string, headers: IncomingHttpHeaders): JsonReply | undefined {
    if (this.#loopback) {
      const host = hostName(headers.host ?? '');
      if (!isLoopback(host)) {
        const message = `Host "${printable(host)}" is not this server; use localhost or 127.0.0.1`;
        return failure('Forbidden', message);
      }
    }
    const origin = headers.origin;
    if (origin !== undefined && !sameOrigin(origin, headers.host)) {
      return failure('Forbidden', 'requests of other web sites are not allowed');
    }
    if (headers['sec-fetch-site'] === 'cross-site') {
      return failure('Forbidden', 'requests of other web sites are not allowed');
    }
    return OPEN_PATHS.has(path) ? undefined : this.#checkToken(headers.authorization);
  }

  #checkToken(authorization: string | undefined): JsonReply | undefined {
    if (this.#tokenDigest === undefined) return undefined;
    const given = /^Bearer +([^ ]+)$/i.exec(authorization ?? '')?.[1];
    // Digests have one length: neither the length nor a prefix of the token shows in the time taken.
    if (given !== undefined && timingSafeEqual(digest(given), this.#tokenDigest)) return undefined;
    const message =
      given === undefined
        ? 'a token is required: Authorization: Bearer <token>'
        : 'the token is not the one of this control plane';
    return {
      ...failure('Unauthorized', message),
      headers: { 'www-authenticate': 'Bearer realm="weft"' },
    };
  }
}

export function isLoopback(host: string): boolean {
  if (host === 'localhost') return true;
  if (isIP(host) === 4) return host.startsWith('127.');
  return host === '::1';
}

/** `[::1]:80` → `::1`. */
function hostName(host: string): string {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]*))(?::\d{1,5})?$/.exec(host);
  return (match?.[1] ?? match?.[2] ?? '').toLowerCase();
}

function sameOrigin(origin: string, host: string | undefined): boolean {
  return host !== undefined && (origin === `http://${host}` || origin === `https://${host}`);
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
