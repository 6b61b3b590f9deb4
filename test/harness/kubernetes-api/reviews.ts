import { type Access, reviewedRequest, reviewedUser, type User } from './access.ts';
import { ApiError, badRequest } from './api-error.ts';
import { isFields, object, text, texts } from './fields.ts';
import { apiVersionOf } from './http-exchange.ts';
import type { RequestInfo } from './request-info.ts';
import type { Tokens } from './tokens.ts';

/** TokenReview, TokenRequest and the access reviews: asked and answered, kept nowhere. */
export function answerReview(
  info: RequestInfo,
  user: User,
  body: unknown,
  tokens: Tokens,
  access: Access,
): object {
  if (!isFields(body)) throw badRequest('the body is no object');
  const spec = object(body, 'spec');
  const answer = (status: object): object => ({
    ...body,
    apiVersion: text(body, 'apiVersion') || apiVersionOf(info),
    metadata: { creationTimestamp: null },
    status,
  });
  switch (info.subresource === 'token' ? 'token' : info.resource) {
    case 'tokenreviews': {
      const reviewed = tokens.review(text(spec, 'token'), texts(spec, 'audiences'));
      if ('error' in reviewed)
        return answer({ user: {}, error: `[invalid bearer token, ${reviewed.error}]` });
      const { username, uid, groups, extra } = reviewed.user;
      return answer({
        authenticated: true,
        user: { username, uid, groups, ...(extra !== undefined && { extra }) },
        audiences: reviewed.audiences,
      });
    }
    case 'subjectaccessreviews':
    case 'localsubjectaccessreviews':
    case 'selfsubjectaccessreviews': {
      const who = info.resource === 'selfsubjectaccessreviews' ? user : reviewedUser(spec);
      const wanted = reviewedRequest(spec);
      return answer({ allowed: wanted !== null && access.allows(who, wanted) });
    }
    case 'token': {
      const { namespace, name } = info;
      const seconds =
        typeof spec['expirationSeconds'] === 'number' ? spec['expirationSeconds'] : 3600;
      const audiences = texts(spec, 'audiences');
      const token = tokens.issue({
        namespace,
        serviceAccount: name,
        ttlMs: seconds * 1000,
        ...(audiences.length > 0 && { audiences }),
      });
      return answer({
        token,
        expirationTimestamp: new Date(Date.now() + seconds * 1000).toISOString(),
      });
    }
    default:
      throw new ApiError(405, 'MethodNotAllowed', `${info.resource} are not answered`);
  }
}
