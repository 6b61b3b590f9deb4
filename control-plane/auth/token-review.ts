import { createHash } from 'node:crypto';
import { isRefusal } from '../kubernetes/failure.ts';
import type { KubernetesClient } from '../kubernetes/kubernetes-client.ts';
import { isRecord } from '../kubernetes/kubernetes-object.ts';
import { apiVersionOf, collectionPath, TOKEN_REVIEWS } from '../kubernetes/resource-type.ts';
import { identityProblem, type WorkloadIdentity } from './spiffe-id.ts';

export interface TokenReviewOptions {
  readonly client: Pick<KubernetesClient, 'request'>;
  readonly trustDomain: string;
  /** A token must be meant for one of these: `weft-ca`, `istio-ca`. */
  readonly audiences: readonly string[];
  /** Wall clock, milliseconds since 1970: for `exp`. */
  readonly wallNowMs: () => number;
  /** Milliseconds that no step of the clock changes: for how long an answer holds. */
  readonly nowMs: () => number;
}

export type ReviewResult =
  | { readonly kind: 'identity'; readonly identity: WorkloadIdentity }
  | { readonly kind: 'refused'; readonly problem: string }
  /** Nobody can say now: the caller is to come back. */
  | { readonly kind: 'unavailable'; readonly problem: string };

/** Milliseconds that an answer holds (A2.10), and that a refusal does. */
const CACHE_MS = 60_000;
const REFUSED_MS = 2000;
const CACHE_MAX = 20_000;
/** Milliseconds; a sidecar waits for it. */
const TIMEOUT_MS = 10_000;
const TOKEN_CHARS_MAX = 16_384;
/** Reviews at once; more would starve the API server. */
const REVIEWS_MAX = 64;

interface Cached {
  readonly result: ReviewResult;
  /** Monotonic. */
  readonly untilMs: number;
  /** Wall clock: the token's own end. */
  readonly endsMs: number;
}

/**
 * Service account tokens of Kubernetes, judged by its API server (TokenReview): it knows whether the pod still lives. Answers
 * are kept for a minute at most and never past the token's end; equal questions at one time are one question.
 */
export class TokenReview {
  readonly #options: TokenReviewOptions;
  /** By digest: tokens themselves are not kept. */
  readonly #cache = new Map<string, Cached>();
  readonly #pending = new Map<string, Promise<ReviewResult>>();

  constructor(options: TokenReviewOptions) {
    this.#options = options;
  }

  async review(token: string): Promise<ReviewResult> {
    if (token.length > TOKEN_CHARS_MAX) {
      return { kind: 'refused', problem: 'the token is longer than 16 KiB' };
    }
    const key = createHash('sha256').update(token).digest('base64');
    const { nowMs, wallNowMs } = this.#options;
    const cached = this.#cache.get(key);
    if (cached !== undefined && nowMs() < cached.untilMs && wallNowMs() < cached.endsMs) {
      return cached.result;
    }
    const asked = this.#pending.get(key);
    if (asked !== undefined) return asked;
    if (this.#pending.size >= REVIEWS_MAX) {
      return { kind: 'unavailable', problem: 'too many tokens are under review; try again' };
    }
    const asking = this.#ask(token).finally(() => this.#pending.delete(key));
    this.#pending.set(key, asking);
    const result = await asking;
    this.#keep(key, token, result);
    return result;
  }

  #keep(key: string, token: string, result: ReviewResult): void {
    this.#cache.delete(key);
    if (result.kind === 'unavailable') return;
    const holdsMs = result.kind === 'identity' ? CACHE_MS : REFUSED_MS;
    const endsMs = claimsOf(token)?.expiresAtMs ?? Number.POSITIVE_INFINITY;
    this.#cache.set(key, { result, untilMs: this.#options.nowMs() + holdsMs, endsMs });
    // The oldest goes; who still needs it is asked about again.
    if (this.#cache.size > CACHE_MAX) this.#cache.delete(this.#cache.keys().next().value!);
  }

  async #ask(token: string): Promise<ReviewResult> {
    const { client, audiences } = this.#options;
    // A review has no name and is kept nowhere.
    const asked = await client.request({
      method: 'POST',
      path: collectionPath(TOKEN_REVIEWS, ''),
      body: {
        apiVersion: apiVersionOf(TOKEN_REVIEWS),
        kind: TOKEN_REVIEWS.kind,
        spec: { token, audiences },
      },
      timeoutMs: TIMEOUT_MS,
    });
    if (!asked.ok) {
      const { failure } = asked;
      // Forbidden is our own fault and no word about the token: an operator can put it right.
      return {
        kind: 'unavailable',
        problem: isRefusal(failure)
          ? `the API server does not answer TokenReviews: ${failure.message}`
          : `the API server cannot be asked: ${failure.message}`,
      };
    }
    const status = isRecord(asked.value) ? asked.value['status'] : undefined;
    return this.#judge(isRecord(status) ? status : {});
  }

  #judge(status: Record<string, unknown>): ReviewResult {
    const { authenticated, user, audiences, error } = status;
    if (authenticated !== true || !isRecord(user)) {
      const reason = typeof error === 'string' ? `: ${error.slice(0, 200)}` : '';
      return {
        kind: 'refused',
        problem: `the service account token is not valid for ${this.#options.audiences.join(', ')}${reason}`,
      };
    }
    // A server that does not know audiences says nothing of them: then the token may be meant for another.
    const common = Array.isArray(audiences)
      ? this.#options.audiences.some((each) => audiences.includes(each))
      : false;
    if (!common) {
      return {
        kind: 'refused',
        problem: `the service account token is not meant for ${this.#options.audiences.join(', ')}`,
      };
    }
    const parts = typeof user['username'] === 'string' ? user['username'].split(':') : [];
    const [system, serviceaccount, namespace = '', serviceAccount = '', ...more] = parts;
    if (system !== 'system' || serviceaccount !== 'serviceaccount' || more.length > 0) {
      return { kind: 'refused', problem: 'the token is not that of a service account' };
    }
    const identity = { trustDomain: this.#options.trustDomain, namespace, serviceAccount };
    const problem = identityProblem(identity);
    return problem === null ? { kind: 'identity', identity } : { kind: 'refused', problem };
  }
}

/**
 * What a JWT says of itself, unverified: only to choose who is asked about it, and to forget an answer in time. Null where it is
 * no JWT.
 */
export function claimsOf(
  token: string,
): { readonly algorithm: string; readonly issuer: string; readonly expiresAtMs: number } | null {
  const parts = token.split('.');
  if (parts.length !== 3) return null;
  const [header, payload] = parts.slice(0, 2).map((part) => {
    try {
      const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
      return isRecord(value) ? value : null;
    } catch {
      return null;
    }
  });
  if (!header || !payload) return null;
  const { iss, exp } = payload;
  return {
    algorithm: typeof header['alg'] === 'string' ? header['alg'] : '',
    issuer: typeof iss === 'string' ? iss : '',
    expiresAtMs: typeof exp === 'number' ? exp * 1000 : Number.POSITIVE_INFINITY,
  };
}
