/** Conditions under which a try is repeated (RS-02), one bit each. */
export const RetryOn = {
  FIVE_XX: 1 << 0,
  /** 502, 503, 504. */
  GATEWAY_ERROR: 1 << 1,
  /** No response at all: disconnect, reset, timeout of the try. */
  RESET: 1 << 2,
  /** A failure before the request head was sent. */
  RESET_BEFORE_REQUEST: 1 << 3,
  CONNECT_FAILURE: 1 << 4,
  /** 409. */
  RETRIABLE_4XX: 1 << 5,
  /** HTTP/2 REFUSED_STREAM. */
  REFUSED_STREAM: 1 << 6,
  RETRIABLE_STATUS_CODES: 1 << 7,
  GRPC_CANCELLED: 1 << 8,
  GRPC_DEADLINE_EXCEEDED: 1 << 9,
  GRPC_INTERNAL: 1 << 10,
  GRPC_RESOURCE_EXHAUSTED: 1 << 11,
  GRPC_UNAVAILABLE: 1 << 12,
  /** A field of the response that `retriable_headers` names. */
  RETRIABLE_HEADERS: 1 << 13,
  /** `x-envoy-ratelimited`, which is left alone otherwise. */
  ENVOY_RATELIMITED: 1 << 14,
} as const;

export const ANY_GRPC =
  RetryOn.GRPC_CANCELLED |
  RetryOn.GRPC_DEADLINE_EXCEEDED |
  RetryOn.GRPC_INTERNAL |
  RetryOn.GRPC_RESOURCE_EXHAUSTED |
  RetryOn.GRPC_UNAVAILABLE;

export interface ParsedRetryOn {
  /** OR of `RetryOn`. */
  readonly bits: number;
  /** Bare numbers of the list, in order (Istio's `503,429`). */
  readonly statusCodes: readonly number[];
  /** Tokens that mean nothing to us, for the caller to report. */
  readonly unknown: readonly string[];
}

/**
 * Reads a `retry_on` list: tokens separated by commas, HTTP and gRPC ones mixed, a bare number from
 * 100 to 599 being a retriable status code.
 */
export function parseRetryOn(list: string): ParsedRetryOn {
  let bits = 0;
  const statusCodes: number[] = [];
  const unknown: string[] = [];
  for (const part of list.split(',')) {
    const token = part.trim();
    if (token === '') continue;
    const bit = TOKENS.get(token);
    if (bit !== undefined) bits |= bit;
    else if (isStatus(token)) statusCodes.push(Number(token));
    else unknown.push(token);
  }
  if (statusCodes.length > 0) bits |= RetryOn.RETRIABLE_STATUS_CODES;
  return { bits, statusCodes, unknown };
}

/** Every token that `parseRetryOn` knows, for error messages. */
export function retryOnTokens(): readonly string[] {
  return [...TOKENS.keys()];
}

/** The gRPC condition that a `grpc-status` of a response answers to, or 0. */
export function retryOnGrpcStatus(grpcStatus: number): number {
  switch (grpcStatus) {
    case 1:
      return RetryOn.GRPC_CANCELLED;
    case 4:
      return RetryOn.GRPC_DEADLINE_EXCEEDED;
    case 8:
      return RetryOn.GRPC_RESOURCE_EXHAUSTED;
    case 13:
      return RetryOn.GRPC_INTERNAL;
    case 14:
      return RetryOn.GRPC_UNAVAILABLE;
    default:
      return 0;
  }
}

const TOKENS: ReadonlyMap<string, number> = new Map<string, number>([
  ['5xx', RetryOn.FIVE_XX],
  ['gateway-error', RetryOn.GATEWAY_ERROR],
  ['reset', RetryOn.RESET],
  ['reset-before-request', RetryOn.RESET_BEFORE_REQUEST],
  ['connect-failure', RetryOn.CONNECT_FAILURE],
  ['retriable-4xx', RetryOn.RETRIABLE_4XX],
  ['refused-stream', RetryOn.REFUSED_STREAM],
  ['retriable-status-codes', RetryOn.RETRIABLE_STATUS_CODES],
  ['cancelled', RetryOn.GRPC_CANCELLED],
  ['deadline-exceeded', RetryOn.GRPC_DEADLINE_EXCEEDED],
  ['internal', RetryOn.GRPC_INTERNAL],
  ['resource-exhausted', RetryOn.GRPC_RESOURCE_EXHAUSTED],
  ['unavailable', RetryOn.GRPC_UNAVAILABLE],
  ['retriable-headers', RetryOn.RETRIABLE_HEADERS],
  ['envoy-ratelimited', RetryOn.ENVOY_RATELIMITED],
  // Known, and never met: nothing here connects over HTTP/3.
  ['http3-post-connect-failure', 0],
]);

function isStatus(token: string): boolean {
  return /^[1-5][0-9][0-9]$/.test(token);
}
