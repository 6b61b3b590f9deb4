import { type HeaderBlock, headerValue, removeHeader } from '../http/header-block.ts';
import type { RetryPolicyConfig, RouteActionConfig } from './route-config.ts';

/** Milliseconds for the whole exchange and for one try; 0 = no limit (TM-17, RS-04). */
export interface RequestTimeouts {
  totalMs: number;
  perTryMs: number;
}

/**
 * The timeouts of one request, written into `out`: the route's, unless the request asks for others
 * with `x-envoy-upstream-rq-timeout-ms` and `x-envoy-upstream-rq-per-try-timeout-ms` (RS-08). The
 * inbound side takes those fields off before routing, so only the local app is heard. A try that
 * may last as long as the whole exchange has no timeout of its own.
 */
export function requestTimeouts(
  action: RouteActionConfig,
  policy: RetryPolicyConfig | null,
  headers: HeaderBlock,
  out: RequestTimeouts,
): void {
  const totalMs = takeMilliseconds(headers, 'x-envoy-upstream-rq-timeout-ms');
  const perTryMs = takeMilliseconds(headers, 'x-envoy-upstream-rq-per-try-timeout-ms');
  out.totalMs = totalMs >= 0 ? totalMs : action.timeoutMs;
  out.perTryMs = perTryMs >= 0 ? perTryMs : (policy?.perTryTimeoutMs ?? 0);
  if (out.totalMs > 0 && out.perTryMs >= out.totalMs) out.perTryMs = 0;
}

/**
 * What the upstream is told in `x-envoy-expected-rq-timeout-ms`; 0 = nothing. `elapsedMs` of the
 * whole exchange are gone when a later try begins; as in Envoy at least 1 is left, because 0 would
 * mean "no limit".
 */
export function expectedTimeoutMs(timeouts: RequestTimeouts, elapsedMs: number): number {
  const { totalMs, perTryMs } = timeouts;
  if (totalMs === 0) return perTryMs;
  const leftMs = Math.max(1, totalMs - Math.floor(elapsedMs));
  return perTryMs > 0 ? Math.min(perTryMs, leftMs) : leftMs;
}

/** A field that holds whole milliseconds, removed; -1 where it is absent or no number. */
function takeMilliseconds(headers: HeaderBlock, name: string): number {
  const value = headerValue(headers, name);
  if (value === '') return -1;
  removeHeader(headers, name);
  return /^[0-9]{1,9}$/.test(value) ? Number(value) : -1;
}
