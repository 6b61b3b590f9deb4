import type { RetryPolicy } from '../../../proto/gen/envoy/config/route/v3/route_components.ts';
import { parseRetryOn, retryOnTokens } from '../../router/retry-on.ts';
import type { RetryPolicyConfig } from '../../router/route-config.ts';
import { compileHeaderMatcher } from './header-matcher.ts';
import type { MessageReader } from './message-reader.ts';

/** RS-03. */
const BACKOFF_BASE_MS = 25;
/** Times the base. */
const BACKOFF_MAX_FACTOR = 10;
/** Re-tries of one request; bounds what one request can cost (D25). */
const RETRIES_MAX = 100;

/** `envoy.config.route.v3.RetryPolicy` (RS-01, RS-02, RS-03). */
export function compileRetryPolicy(reader: MessageReader<RetryPolicy>): RetryPolicyConfig {
  const written = reader.string('retryOn');
  const tokens = parseRetryOn(written);
  if (tokens.unknown.length > 0) {
    const unknown = tokens.unknown.map((token) => `"${token}"`).join(', ');
    reader.problem('retryOn', `${unknown} is not one of ${retryOnTokens().join(', ')}`);
  }
  const statusCodes = reader.take('retriableStatusCodes').map((status, index) => {
    if (status < 100 || status > 999) {
      reader.problems.add(reader.at('retriableStatusCodes', index), `${status} is not a status`);
    }
    return status;
  });
  const backOff = reader.child('retryBackOff');
  const baseMs = backOff?.durationMs('baseInterval', BACKOFF_BASE_MS, 1) ?? BACKOFF_BASE_MS;
  const maxMs = backOff?.durationMs('maxInterval', baseMs * BACKOFF_MAX_FACTOR, 1);
  if (maxMs !== undefined && maxMs < baseMs) {
    backOff?.problem('maxInterval', 'must not be less than base_interval');
  }
  return {
    retryOn: tokens.bits,
    retriableStatusCodes: [...new Set([...statusCodes, ...tokens.statusCodes])],
    retriableHeaders: reader.children('retriableHeaders').map(compileHeaderMatcher),
    retriesMax: reader.integer('numRetries', { max: RETRIES_MAX, fallback: 1 }),
    perTryTimeoutMs: reader.durationMs('perTryTimeout', 0),
    backoffBaseMs: baseMs,
    backoffMaxMs: maxMs ?? baseMs * BACKOFF_MAX_FACTOR,
    skipPreviousHosts: skipsPreviousHosts(reader),
    hostSelectionAttemptsMax: hostSelectionAttempts(reader),
  };
}

function hostSelectionAttempts(reader: MessageReader<RetryPolicy>): number {
  const attempts = reader.take('hostSelectionRetryMaxAttempts');
  if (attempts < 0 || attempts > 100) {
    reader.problem('hostSelectionRetryMaxAttempts', 'must lie between 0 and 100');
  }
  return attempts === 0 ? 1 : attempts;
}

/** The one host predicate there is: `previous_hosts`. */
function skipsPreviousHosts(reader: MessageReader<RetryPolicy>): boolean {
  let skips = false;
  for (const predicate of reader.children('retryHostPredicate')) {
    predicate.take('name');
    const config = predicate.take('configType');
    const found = predicate.unpack(config?.value, predicate.caseAt('typedConfig'), [
      'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
    ]);
    skips ||= found !== undefined;
  }
  return skips;
}
