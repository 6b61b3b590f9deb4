import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { type ApiRoutes, json } from '../api/api-routes.ts';
import { failure } from '../api/status.ts';
import { JOIN_TOKEN_TTL_MS_MAX, type JoinTokens } from '../auth/join-token.ts';
import { type Authority, splitPem } from './authority.ts';

export interface AuthorityRoutesOptions {
  readonly authority: () => Authority;
  readonly tokens: JoinTokens;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
  /** Reads the authority's files again: a root was added, or another one signs. */
  readonly reload: () => Promise<void>;
  readonly log: { info(fields: object, message: string): void };
}

/** `POST /weft/v1/tokens`, `GET /weft/v1/ca/roots`, `POST /weft/v1/ca/reload`. */
export function addAuthorityRoutes(routes: ApiRoutes, options: AuthorityRoutesOptions): void {
  routes.add('POST', '/weft/v1/tokens', async ({ body }) => {
    const request = readTokenRequest(body);
    if ('problem' in request) return failure('BadRequest', request.problem);
    const { namespace, serviceAccount, ttlSeconds } = request;
    try {
      const token = await options.tokens.create(namespace, serviceAccount, ttlSeconds * 1000);
      const expires = new Date(options.nowMs() + ttlSeconds * 1000).toISOString();
      options.log.info({ namespace, serviceAccount, expires }, 'join token made');
      return json(201, { token, expires });
    } catch (error) {
      if (error instanceof RangeError) return failure('BadRequest', error.message);
      throw error;
    }
  });
  routes.add('GET', '/weft/v1/ca/roots', () =>
    json(200, {
      items: splitPem(options.authority().rootsPem).map((pem) => {
        const certificate = new X509Certificate(pem);
        return {
          subject: certificate.subject.replaceAll('\n', ', '),
          notAfter: certificate.validToDate.toISOString(),
          fingerprint256: certificate.fingerprint256,
          pem: `${pem}\n`,
        };
      }),
    }),
  );
  routes.add('POST', '/weft/v1/ca/reload', async () => {
    try {
      await options.reload();
    } catch (error) {
      return failure('Invalid', `the authority stays as it was: ${(error as Error).message}`);
    }
    return json(200, { roots: splitPem(options.authority().rootsPem).length });
  });
}

const TOKEN_REQUEST = z.strictObject({
  namespace: z.string(),
  serviceAccount: z.string(),
  ttlSeconds: z
    .number()
    .int()
    .min(1)
    .max(JOIN_TOKEN_TTL_MS_MAX / 1000)
    .default(86_400),
});

function readTokenRequest(body: string): z.infer<typeof TOKEN_REQUEST> | { problem: string } {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return { problem: 'the body is no JSON; send {"namespace": …, "serviceAccount": …}' };
  }
  const result = TOKEN_REQUEST.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  return { problem: `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not valid'}` };
}
