import { createHmac, randomBytes } from 'node:crypto';
import { serviceAccountUser, type User } from './access.ts';

export interface TokenRecord {
  readonly user: User;
  readonly audiences: readonly string[];
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number;
  /** The token ends with this pod. */
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string } | null;
}

export interface ServiceAccountTokenOptions {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly audiences?: readonly string[];
  readonly ttlMs?: number;
  readonly pod?: { readonly namespace: string; readonly name: string; readonly uid: string };
}

const API_AUDIENCE = 'https://kubernetes.default.svc.cluster.local';

/** Bearer tokens that the server knows, and their reviews. */
export class Tokens {
  readonly #records = new Map<string, TokenRecord>();
  readonly #secret = randomBytes(32);
  readonly #podLives: (pod: NonNullable<TokenRecord['pod']>) => boolean;

  constructor(podLives: (pod: NonNullable<TokenRecord['pod']>) => boolean) {
    this.#podLives = podLives;
  }

  add(token: string, user: User, audiences: readonly string[] = [API_AUDIENCE]): void {
    this.#records.set(token, {
      user,
      audiences,
      expiresAtMs: Number.MAX_SAFE_INTEGER,
      pod: null,
    });
  }

  remove(token: string): void {
    this.#records.delete(token);
  }

  /** A JWT with the claims of a projected token. Only this server can tell whether it holds: its signature is opaque to others. */
  issue(options: ServiceAccountTokenOptions): string {
    const { namespace, serviceAccount, audiences = [API_AUDIENCE], ttlMs = 3_600_000 } = options;
    const nowMs = Date.now();
    const expiresAtMs = nowMs + ttlMs;
    const { pod = null } = options;
    const claims = {
      aud: audiences,
      exp: Math.floor(expiresAtMs / 1000),
      iat: Math.floor(nowMs / 1000),
      nbf: Math.floor(nowMs / 1000),
      iss: API_AUDIENCE,
      jti: randomBytes(8).toString('hex'),
      'kubernetes.io': {
        namespace,
        serviceaccount: { name: serviceAccount, uid: 'sa' },
        ...(pod !== null && { pod: { name: pod.name, uid: pod.uid } }),
      },
      sub: `system:serviceaccount:${namespace}:${serviceAccount}`,
    };
    const part = (value: object): string =>
      Buffer.from(JSON.stringify(value)).toString('base64url');
    const signed = `${part({ alg: 'RS256', kid: 'test' })}.${part(claims)}`;
    const signature = createHmac('sha512', this.#secret).update(signed).digest('base64url');
    const token = `${signed}.${signature}`;
    const user: User = {
      ...serviceAccountUser(namespace, serviceAccount, 'sa'),
      ...(pod !== null && {
        extra: {
          'authentication.kubernetes.io/pod-name': [pod.name],
          'authentication.kubernetes.io/pod-uid': [pod.uid],
        },
      }),
    };
    this.#records.set(token, { user, audiences, expiresAtMs, pod });
    return token;
  }

  /** Who shows this token to somebody of one of `audiences`. */
  review(
    token: string,
    audiences: readonly string[],
  ): { readonly user: User; readonly audiences: readonly string[] } | { readonly error: string } {
    const record = this.#records.get(token);
    if (record === undefined) return { error: 'invalid bearer token' };
    if (record.expiresAtMs <= Date.now()) return { error: 'service account token has expired' };
    const wanted = audiences.length === 0 ? [API_AUDIENCE] : audiences;
    const common = wanted.filter((each) => record.audiences.includes(each));
    if (common.length === 0) {
      return {
        error: `token audiences ${JSON.stringify(record.audiences)} is invalid for the target audiences ${JSON.stringify(wanted)}`,
      };
    }
    if (record.pod !== null && !this.#podLives(record.pod)) {
      return { error: 'service account token has been invalidated' };
    }
    return { user: record.user, audiences: common };
  }
}
