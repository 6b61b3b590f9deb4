import { type HeaderBlock, hasHeader, headerValue, removeHeader } from '../http/header-block.ts';
import { parseRetryOn } from './retry-on.ts';
import type { RetryPolicyConfig } from './route-config.ts';

/**
 * The retry policy of one request: the route's, widened by `x-envoy-retry-on` and
 * `x-envoy-retry-grpc-on` and bounded by `x-envoy-max-retries` (RS-08). The fields are taken off.
 * The inbound side removes them before routing, so only the local app is heard.
 */
export function requestRetryPolicy(
  policy: RetryPolicyConfig | null,
  headers: HeaderBlock,
): RetryPolicyConfig | null {
  const asked =
    hasHeader(headers, 'x-envoy-retry-on') || hasHeader(headers, 'x-envoy-retry-grpc-on');
  const hasMaximum = hasHeader(headers, 'x-envoy-max-retries');
  if (!asked && !hasMaximum) return policy;

  const list = `${headerValue(headers, 'x-envoy-retry-on')},${headerValue(headers, 'x-envoy-retry-grpc-on')}`;
  const maximum = headerValue(headers, 'x-envoy-max-retries');
  removeHeader(headers, 'x-envoy-retry-on');
  removeHeader(headers, 'x-envoy-retry-grpc-on');
  removeHeader(headers, 'x-envoy-max-retries');

  const { bits, statusCodes } = parseRetryOn(list);
  const base = policy ?? DEFAULT_POLICY;
  const retryOn = base.retryOn | bits;
  if (retryOn === 0) return policy;
  return {
    ...base,
    retryOn,
    retriableStatusCodes: [...base.retriableStatusCodes, ...statusCodes],
    retriesMax: /^[0-9]{1,4}$/.test(maximum)
      ? Math.min(Number(maximum), HEADER_RETRIES_MAX)
      : base.retriesMax,
  };
}

/** What a request may ask for itself; beyond it one request could keep an upstream busy for long. */
const HEADER_RETRIES_MAX = 100;

/** Envoy's defaults where a request asks for retries and its route has no policy. */
const DEFAULT_POLICY: RetryPolicyConfig = Object.freeze({
  retryOn: 0,
  retriableStatusCodes: [],
  retriableHeaders: [],
  retriesMax: 1,
  perTryTimeoutMs: 0,
  backoffBaseMs: 25,
  backoffMaxMs: 250,
  skipPreviousHosts: false,
  hostSelectionAttemptsMax: 1,
});
