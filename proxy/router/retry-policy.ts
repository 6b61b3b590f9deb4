import { parseGrpcStatus } from '../http/grpc-status.ts';
import { type HeaderBlock, hasHeader, headerValue } from '../http/header-block.ts';
import type { ResponseHead } from '../http/message.ts';
import { matchesAnyHeader } from './header-match.ts';
import type { UpstreamResetReason } from './outcome.ts';
import { ANY_GRPC, RetryOn, retryOnGrpcStatus } from './retry-on.ts';
import type { RetryPolicyConfig } from './route-config.ts';

/**
 * Whether a response is one that the policy repeats. An upstream that says it is overloaded or that
 * it limited the rate is left alone (Envoy's rule: a retry would make it worse), the latter unless the
 * policy insists.
 */
export function retriesResponse(policy: RetryPolicyConfig, head: ResponseHead): boolean {
  const on = policy.retryOn;
  if (on === 0) return false;
  if (head.status < 400 && (on & ANY_STATUS) === 0) return false;
  const { headers } = head;
  if ((on & RetryOn.ENVOY_RATELIMITED) !== 0 && hasHeader(headers, 'x-envoy-ratelimited')) {
    return !hasHeader(headers, 'x-envoy-overloaded');
  }
  return (
    matchesResponse(policy, head) &&
    !hasHeader(headers, 'x-envoy-overloaded') &&
    !hasHeader(headers, 'x-envoy-ratelimited')
  );
}

function matchesResponse(policy: RetryPolicyConfig, head: ResponseHead): boolean {
  const on = policy.retryOn;
  const status = head.status;
  if ((on & RetryOn.FIVE_XX) !== 0 && status >= 500) return true;
  if ((on & RetryOn.GATEWAY_ERROR) !== 0 && status >= 502 && status <= 504) return true;
  if ((on & RetryOn.RETRIABLE_4XX) !== 0 && status === 409) return true;
  if ((on & RetryOn.RETRIABLE_STATUS_CODES) !== 0) {
    if (policy.retriableStatusCodes.includes(status)) return true;
  }
  if ((on & RetryOn.RETRIABLE_HEADERS) !== 0) {
    if (matchesAnyHeader(policy.retriableHeaders, head)) return true;
  }
  return matchesGrpcStatus(on, head.headers);
}

/**
 * Whether trailers that came before any data are ones that the policy repeats (RS-07). `head` came before them: it
 * may say, as for every response, to leave the server alone.
 */
export function retriesTrailers(
  policy: RetryPolicyConfig,
  { headers }: ResponseHead,
  trailers: HeaderBlock,
): boolean {
  return (
    matchesGrpcStatus(policy.retryOn, trailers) &&
    !hasHeader(headers, 'x-envoy-overloaded') &&
    !hasHeader(headers, 'x-envoy-ratelimited')
  );
}

function matchesGrpcStatus(on: number, block: HeaderBlock): boolean {
  if ((on & ANY_GRPC) === 0) return false;
  return (on & retryOnGrpcStatus(parseGrpcStatus(headerValue(block, 'grpc-status')))) !== 0;
}

/**
 * Whether the policy repeats a try that ended without a response head. `requestSent`: a stream was
 * open and the request head had left for the upstream.
 */
export function retriesReset(
  policy: RetryPolicyConfig,
  reason: UpstreamResetReason,
  requestSent: boolean,
): boolean {
  // The circuit breaker opened: one more try is what it is there to stop.
  if (reason === 'overflow') return false;
  const on = policy.retryOn;
  if ((on & (RetryOn.FIVE_XX | RetryOn.GATEWAY_ERROR | RetryOn.RESET)) !== 0) return true;
  if ((on & RetryOn.RESET_BEFORE_REQUEST) !== 0 && !requestSent) return true;
  switch (reason) {
    case 'connectionFailure':
    case 'connectTimeout':
      return (on & RetryOn.CONNECT_FAILURE) !== 0;
    case 'remoteRefused':
      return (on & RetryOn.REFUSED_STREAM) !== 0;
    default:
      return false;
  }
}

/** Whether the policy repeats a try that its own timeout ended: it counts as a gateway error (RS-04). */
export function retriesPerTryTimeout(policy: RetryPolicyConfig): boolean {
  const on = RetryOn.FIVE_XX | RetryOn.GATEWAY_ERROR | RetryOn.RESET;
  return (policy.retryOn & on) !== 0;
}

/**
 * Milliseconds to wait before retry number `retry` (1, 2, …): full jitter over
 * [0, (2^retry − 1) × base), never above the maximum (RS-03). `draw` is in [0, 1).
 */
export function backoffMs(policy: RetryPolicyConfig, retry: number, draw: number): number {
  const ceiling = Math.min(
    policy.backoffMaxMs,
    (2 ** Math.min(retry, 30) - 1) * policy.backoffBaseMs,
  );
  return Math.floor(draw * ceiling);
}

/**
 * Whether a request that met the keep-alive race (D4: the upstream closed an idle connection just
 * as we took it into use) may be sent again with no policy asking for it: methods that are safe, so
 * that doing it twice is doing it once (RFC 9110 §9.2.1, §9.2.2).
 */
export function isSafeMethod(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS' || method === 'TRACE';
}

/** Conditions that a response below 400 can meet. */
const ANY_STATUS =
  ANY_GRPC | RetryOn.RETRIABLE_STATUS_CODES | RetryOn.RETRIABLE_HEADERS | RetryOn.ENVOY_RATELIMITED;
