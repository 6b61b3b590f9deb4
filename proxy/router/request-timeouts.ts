import { formatGrpcTimeout, parseGrpcTimeout } from '../http/grpc-timeout.ts';
import { type HeaderBlock, headerValue, removeHeader, setHeader } from '../http/header-block.ts';
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
 * may last as long as the whole exchange has no timeout of its own. `grpc`: the route may let
 * `grpc-timeout` decide (deprecated `max_grpc_timeout`, PR-07).
 */
export function requestTimeouts(
  action: RouteActionConfig,
  policy: RetryPolicyConfig | null,
  headers: HeaderBlock,
  grpc: boolean,
  out: RequestTimeouts,
): void {
  const totalMs = takeMilliseconds(headers, 'x-envoy-upstream-rq-timeout-ms');
  const perTryMs = takeMilliseconds(headers, 'x-envoy-upstream-rq-per-try-timeout-ms');
  const ofRoute =
    grpc && action.grpcTimeoutMaxMs >= 0 ? grpcTimeoutMs(action, headers) : action.timeoutMs;
  out.totalMs = totalMs >= 0 ? totalMs : ofRoute;
  out.perTryMs = perTryMs >= 0 ? perTryMs : (policy?.perTryTimeoutMs ?? 0);
  if (out.totalMs > 0 && out.perTryMs >= out.totalMs) out.perTryMs = 0;
}

/** 0, no limit, is more than any maximum and is what a request without the field asks for. */
function grpcTimeoutMs(action: RouteActionConfig, headers: HeaderBlock): number {
  const { grpcTimeoutMaxMs: maxMs, grpcTimeoutOffsetMs: offsetMs } = action;
  let ms = Math.max(0, parseGrpcTimeout(headerValue(headers, 'grpc-timeout')));
  // Taken off only where something is left: 0 would mean no limit.
  if (offsetMs < ms) ms -= offsetMs;
  return maxMs > 0 && (ms === 0 || ms > maxMs) ? maxMs : ms;
}

/**
 * Says in the head of a try how long it may take; `elapsedMs` are gone. Where the route reads
 * `grpc-timeout`, the server is given what is left instead of what the client wrote.
 */
export function writeTimeouts(
  timeouts: RequestTimeouts,
  action: RouteActionConfig,
  headers: HeaderBlock,
  grpc: boolean,
  elapsedMs: number,
): void {
  const expectedMs = expectedTimeoutMs(timeouts, elapsedMs);
  if (expectedMs === 0) return;
  setHeader(headers, 'x-envoy-expected-rq-timeout-ms', String(expectedMs));
  if (grpc && action.grpcTimeoutMaxMs >= 0) {
    setHeader(headers, 'grpc-timeout', formatGrpcTimeout(expectedMs));
  }
}

/**
 * What the upstream is told in `x-envoy-expected-rq-timeout-ms`; 0 = nothing. `elapsedMs` of the
 * whole exchange are gone when a later try begins; as in Envoy at least 1 is left, because 0 would
 * mean "no limit".
 */
function expectedTimeoutMs(timeouts: RequestTimeouts, elapsedMs: number): number {
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
