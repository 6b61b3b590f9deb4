import { formatGrpcTimeout, parseGrpcTimeout } from '../http/grpc-timeout.ts';
import { headerValue, setHeader } from '../http/header-block.ts';
import type { RequestHead } from '../http/message.ts';
import type { RouteActionConfig } from '../router/route-config.ts';
import type { ConnectionManagerConfig } from './connection-manager-config.ts';

/**
 * Milliseconds that a stream may last from its head on, -1 for no limit (PR-07, RS-12), as Envoy reckons them: the
 * `grpc-timeout` where the route reads it, capped and shortened as the route says; else what the route or the
 * connection manager sets. 0 is over at once. The server of a gRPC call is told the same limit in `grpc-timeout`.
 */
export function streamDurationMs(
  action: RouteActionConfig | null,
  config: ConnectionManagerConfig,
  head: RequestHead,
  grpc: boolean,
): number {
  const { streamDurationMaxMs } = config;
  const ofListenerMs = streamDurationMaxMs > 0 ? streamDurationMaxMs : -1;
  const ofRoute = action?.streamDuration ?? null;
  if (ofRoute === null) return ofListenerMs;

  const { maxMs, grpcTimeoutMaxMs, grpcTimeoutOffsetMs } = ofRoute;
  let ms = grpcTimeoutMaxMs < 0 ? -1 : parseGrpcTimeout(headerValue(head.headers, 'grpc-timeout'));
  if (ms >= 0) {
    if (grpcTimeoutMaxMs > 0) ms = Math.min(ms, grpcTimeoutMaxMs);
    ms = Math.max(0, ms - grpcTimeoutOffsetMs);
  } else {
    ms = maxMs < 0 ? ofListenerMs : maxMs === 0 ? -1 : maxMs;
  }
  if (ms >= 0 && grpc) setHeader(head.headers, 'grpc-timeout', formatGrpcTimeout(ms));
  return ms;
}
