import { X509Certificate } from 'node:crypto';
import type { JoinTokens } from './join-token.ts';
import { parseSpiffeId, type WorkloadIdentity } from './spiffe-id.ts';
import { claimsOf, type TokenReview } from './token-review.ts';

/** Who is calling, by what it showed: a client certificate of the mesh or a bearer token. */
export type Caller =
  | { readonly kind: 'certificate'; readonly identity: WorkloadIdentity }
  | { readonly kind: 'token'; readonly identity: WorkloadIdentity }
  | { readonly kind: 'unauthenticated'; readonly problem: string }
  /** Who could say is away: the caller is to try again. */
  | { readonly kind: 'unavailable'; readonly problem: string };

export interface Credentials {
  /** DER of the verified client certificate (the TLS layer has checked the chain), or null. */
  readonly peerCertificate: Buffer | null;
  /** The `authorization` metadata value, or ''. */
  readonly authorization: string;
}

export class Authenticator {
  readonly #tokens: JoinTokens;
  /** The mesh's own domain first, then its aliases (SC-03). */
  readonly #trustDomains: ReadonlySet<string>;
  readonly #tokenReview: TokenReview | null;

  /** `tokenReview`: null where no Kubernetes says who its pods are. */
  constructor(
    tokens: JoinTokens,
    trustDomains: readonly string[],
    tokenReview: TokenReview | null = null,
  ) {
    this.#tokens = tokens;
    this.#trustDomains = new Set(trustDomains);
    this.#tokenReview = tokenReview;
  }

  /** A certificate is judged before a token; a bad certificate is not excused by a good token. */
  async authenticate(credentials: Credentials): Promise<Caller> {
    if (credentials.peerCertificate !== null) {
      return this.#byCertificate(credentials.peerCertificate);
    }
    const bearer = /^Bearer ([\x21-\x7e]+)$/i.exec(credentials.authorization);
    if (bearer === null) {
      return {
        kind: 'unauthenticated',
        problem:
          'no credential: show a client certificate of the mesh or a join token (weft token create)',
      };
    }
    // Join tokens are signed with HS256 and nothing else; Kubernetes never uses it.
    if (this.#tokenReview !== null && claimsOf(bearer[1]!)?.algorithm !== 'HS256') {
      const review = await this.#tokenReview.review(bearer[1]!);
      if (review.kind === 'identity') return { kind: 'token', identity: review.identity };
      const kind = review.kind === 'refused' ? 'unauthenticated' : 'unavailable';
      return { kind, problem: review.problem };
    }
    const result = await this.#tokens.verify(bearer[1]!);
    return 'problem' in result
      ? { kind: 'unauthenticated', problem: result.problem }
      : { kind: 'token', identity: result };
  }

  #byCertificate(der: Buffer): Caller {
    const uris = uriSubjectAltNames(der);
    if (uris.length !== 1) {
      return {
        kind: 'unauthenticated',
        problem: `the client certificate has ${uris.length} URI names; an SVID has exactly one`,
      };
    }
    const identity = parseSpiffeId(uris[0]!);
    if (identity === null || !this.#trustDomains.has(identity.trustDomain)) {
      return {
        kind: 'unauthenticated',
        problem: `the client certificate's name ${JSON.stringify(uris[0])} is not of this mesh`,
      };
    }
    return { kind: 'certificate', identity };
  }
}

/**
 * The URI names of a certificate. `X509Certificate.subjectAltName` is a display string, but since Node's fix of
 * CVE-2021-44532 it quotes (as a JSON string) each name that holds a separator, so a list whose entries are all unquoted can be
 * split without being misled; a name that needed quotes is none of ours and makes the list empty.
 */
export function uriSubjectAltNames(der: Buffer): string[] {
  let text: string | undefined;
  try {
    text = new X509Certificate(der).subjectAltName;
  } catch {
    return [];
  }
  if (text === undefined || text.includes('"')) return [];
  return text
    .split(', ')
    .filter((name) => name.startsWith('URI:'))
    .map((name) => name.slice('URI:'.length));
}
