import { packAny } from '../../proto/any.ts';
import { duration } from '../../proto/duration.ts';
import type {
  DeepPartial,
  RetryPolicy,
} from '../../proto/gen/envoy/config/route/v3/route_components.ts';
import { PreviousHostsPredicate } from '../../proto/gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.ts';
import { TYPE_PREVIOUS_HOSTS } from '../../proto/type-urls.ts';
import { parseDurationMs } from '../kinds/duration.ts';
import type { HTTPRetry } from '../kinds/virtual-service.ts';

/** RS-01: what fails before the server can have acted, and what a gRPC server says of itself. */
const DEFAULT_RETRY_ON = 'connect-failure,refused-stream,unavailable,cancelled';
const DEFAULT_RETRIES = 2;
/** Times that the load balancer is asked for another host than those already tried. */
const HOST_SELECTION_ATTEMPTS = 5;

const SKIP_PREVIOUS_HOSTS = {
  name: 'envoy.retry_host_predicates.previous_hosts',
  configType: {
    $case: 'typedConfig' as const,
    value: packAny(TYPE_PREVIOUS_HOSTS, PreviousHostsPredicate.create()),
  },
};

/** The route's policy, the mesh default where it has none, null where it turns retries off (RS-01, RS-02). */
export function retryPolicy(retries: HTTPRetry | undefined): DeepPartial<RetryPolicy> | null {
  if (retries?.attempts === 0) return null;
  const { retryOn, statusCodes } = parseRetryOn(retries?.retryOn ?? DEFAULT_RETRY_ON);
  const perTryMs =
    retries?.perTryTimeout === undefined ? 0 : (parseDurationMs(retries.perTryTimeout) ?? 0);
  const backoffMs = retries?.backoff === undefined ? 0 : (parseDurationMs(retries.backoff) ?? 0);
  return {
    retryOn,
    numRetries: retries?.attempts ?? DEFAULT_RETRIES,
    retriableStatusCodes: statusCodes,
    ...(backoffMs > 0 && { retryBackOff: { baseInterval: duration(backoffMs) } }),
    ...(perTryMs > 0 && { perTryTimeout: duration(perTryMs) }),
    retryHostPredicate: [SKIP_PREVIOUS_HOSTS],
    hostSelectionRetryMaxAttempts: HOST_SELECTION_ATTEMPTS,
  };
}

/** RS-09: the last hop, from the sidecar to its app, is tried again only where nothing of the request was taken. */
export const INBOUND_RETRY: DeepPartial<RetryPolicy> = {
  retryOn: 'reset-before-request',
  numRetries: 2,
};

/** `connect-failure,503`: bare numbers become status codes, which then are a condition of their own (RS-02). */
function parseRetryOn(text: string): { readonly retryOn: string; readonly statusCodes: number[] } {
  const conditions = new Set<string>();
  const statusCodes: number[] = [];
  for (const part of text.split(',')) {
    const token = part.trim();
    if (/^\d{3}$/.test(token)) {
      conditions.add('retriable-status-codes');
      statusCodes.push(Number(token));
    } else if (token !== '') conditions.add(token);
  }
  return { retryOn: [...conditions].join(','), statusCodes };
}
