import { randomUUID } from 'node:crypto';
import { jwtVerify, SignJWT } from 'jose';
import { TOKEN_AUDIENCE } from '../kubernetes/own-objects.ts';
import { identityProblem, type WorkloadIdentity } from './spiffe-id.ts';

/**
 * Join tokens: a signed statement "whoever holds this may be service account S in namespace N until T". A sidecar
 * shows one to get its first certificate; afterwards it shows the certificate. HS256, because the control
 * plane is the only one that makes and checks them; the key lives beside the CA's with mode 0600.
 */
export class JoinTokens {
  #key: Uint8Array;
  readonly #trustDomain: string;
  readonly #now: () => number;

  /** `key`: 32 bytes or more. `now`: milliseconds since the epoch. */
  constructor(key: Uint8Array, trustDomain: string, now: () => number) {
    this.#key = checked(key);
    this.#trustDomain = trustDomain;
    this.#now = now;
  }

  /** From now on; tokens made with the key before end. */
  useKey(key: Uint8Array): void {
    this.#key = checked(key);
  }

  /** `ttlMs` between 1 s and `JOIN_TOKEN_TTL_MS_MAX`. Throws RangeError where a name or the TTL is not valid. */
  async create(namespace: string, serviceAccount: string, ttlMs: number): Promise<string> {
    const problem = identityProblem({ trustDomain: this.#trustDomain, namespace, serviceAccount });
    if (problem !== null) throw new RangeError(problem);
    if (!(ttlMs >= 1000 && ttlMs <= JOIN_TOKEN_TTL_MS_MAX)) {
      throw new RangeError('a join token is valid for 1 second at least and 366 days at most');
    }
    const nowS = Math.floor(this.#now() / 1000);
    return new SignJWT({ ns: namespace, sa: serviceAccount })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .setIssuer(this.#trustDomain)
      .setAudience(TOKEN_AUDIENCE)
      .setSubject(`system:serviceaccount:${namespace}:${serviceAccount}`)
      .setIssuedAt(nowS)
      .setNotBefore(nowS - CLOCK_SKEW_S)
      .setExpirationTime(nowS + Math.ceil(ttlMs / 1000))
      .setJti(randomUUID())
      .sign(this.#key);
  }

  /** The identity the token stands for, or why it is not taken. The reason never repeats the token. */
  async verify(token: string): Promise<WorkloadIdentity | { readonly problem: string }> {
    if (token.length > TOKEN_CHARS_MAX) return { problem: 'the token is longer than 8 KiB' };
    try {
      const { payload } = await jwtVerify(token, this.#key, {
        algorithms: ['HS256'],
        audience: TOKEN_AUDIENCE,
        issuer: this.#trustDomain,
        requiredClaims: ['exp', 'jti'],
        clockTolerance: CLOCK_SKEW_S,
        currentDate: new Date(this.#now()),
      });
      const { ns, sa } = payload;
      if (typeof ns !== 'string' || typeof sa !== 'string') {
        return { problem: 'the token names no namespace and service account' };
      }
      const identity = { trustDomain: this.#trustDomain, namespace: ns, serviceAccount: sa };
      const problem = identityProblem(identity);
      return problem === null ? identity : { problem };
    } catch (error) {
      return { problem: `the join token is not valid: ${(error as Error).message}` };
    }
  }
}

function checked(key: Uint8Array): Uint8Array {
  if (key.length < 32) throw new RangeError('a join-token key has 32 bytes or more');
  return key;
}

/** 366 days. */
export const JOIN_TOKEN_TTL_MS_MAX = 366 * 86_400_000;
/** Seconds that two clocks may differ. */
const CLOCK_SKEW_S = 20;
const TOKEN_CHARS_MAX = 8192;
