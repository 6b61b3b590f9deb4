/**
 * What happened to one request (or one TCP connection), written by the connection manager, the
 * filters and the router as it happens, and read once at the end by metrics, access log and tracing.
 * One object per stream, every field set in the constructor.
 */

/** Envoy's response flags (`%RESPONSE_FLAGS%`, OB-08), one bit each so that a record holds several. */
export const ResponseFlag = {
  UH: 1 << 0,
  UF: 1 << 1,
  UO: 1 << 2,
  NR: 1 << 3,
  URX: 1 << 4,
  NC: 1 << 5,
  DC: 1 << 6,
  UT: 1 << 7,
  LR: 1 << 8,
  UR: 1 << 9,
  UC: 1 << 10,
  DI: 1 << 11,
  FI: 1 << 12,
  RL: 1 << 13,
  UAEX: 1 << 14,
  RLSE: 1 << 15,
  IH: 1 << 16,
  SI: 1 << 17,
  DPE: 1 << 18,
  UPE: 1 << 19,
  UMSDR: 1 << 20,
  OM: 1 << 21,
  DF: 1 << 22,
  DT: 1 << 23,
} as const;
export type ResponseFlag = (typeof ResponseFlag)[keyof typeof ResponseFlag];

/** `UF,URX`, in Envoy's order, or `-`. Cached: the set of combinations met is small. */
export function responseFlags(bits: number): string {
  if (bits === 0) return '-';
  let text = renderedFlags.get(bits);
  if (text === undefined) {
    text = Object.entries(ResponseFlag)
      .filter(([, bit]) => (bits & bit) !== 0)
      .map(([name]) => name)
      .join(',');
    renderedFlags.set(bits, text);
  }
  return text;
}
const renderedFlags = new Map<number, string>();

/** One side of the connection as metrics and logs see it; resolved once per connection. */
export interface ConnectionInfo {
  /** `ip:port`. */
  readonly localAddress: string;
  readonly remoteAddress: string;
  /** Server name of the ClientHello, or ''. */
  readonly requestedServerName: string;
  /** SPIFFE id of the peer's verified certificate, or ''. */
  readonly peerPrincipal: string;
  /** SPIFFE id this side presented, or ''. */
  readonly localPrincipal: string;
  readonly mutualTls: boolean;
}

/** Who a workload is, for Istio's source_ and destination_ labels. Missing values are `unknown`. */
export interface WorkloadMetadata {
  readonly workload: string;
  readonly namespace: string;
  readonly app: string;
  readonly version: string;
  readonly canonicalService: string;
  readonly canonicalRevision: string;
  readonly cluster: string;
  readonly principal: string;
}

export const UNKNOWN_WORKLOAD: WorkloadMetadata = Object.freeze({
  workload: 'unknown',
  namespace: 'unknown',
  app: 'unknown',
  version: 'unknown',
  canonicalService: 'unknown',
  canonicalRevision: 'latest',
  cluster: 'unknown',
  principal: 'unknown',
});

/** The service a cluster leads to, for `destination_service*`; resolved when the cluster is compiled. */
export interface DestinationService {
  /** FQDN (`destination_service`). */
  readonly host: string;
  readonly name: string;
  readonly namespace: string;
}

export class RequestRecord {
  /** Wall clock, milliseconds since the epoch. */
  startTimeMs: number;
  /** Monotonic milliseconds (`performance.now()`); 0 where the moment was not reached. */
  startMs: number;
  requestEndMs = 0;
  upstreamStartMs = 0;
  responseStartMs = 0;
  endMs = 0;

  downstream: ConnectionInfo;
  method = '';
  /** As received, before any rewrite. */
  path = '';
  authority = '';
  scheme = '';
  /** `HTTP/1.1`, …; '' for TCP. */
  protocol = '';
  /** Header blocks for `%REQ(..)%` and `%RESP(..)%`; the live arrays. */
  requestHeaders: string[] = EMPTY;
  responseHeaders: string[] = EMPTY;
  responseTrailers: string[] = EMPTY;
  requestId = '';
  traceId = '';
  spanId = '';
  parentSpanId = '';
  sampled = false;

  /** 0 where no response was sent. */
  status = 0;
  /** OR of `ResponseFlag`. */
  flags = 0;
  /** `%RESPONSE_CODE_DETAILS%`: via_upstream, route_not_found, … */
  responseCodeDetails = '';
  connectionTerminationDetails = '';
  upstreamTransportFailureReason = '';
  /** Body bytes. */
  bytesReceived = 0;
  bytesSent = 0;
  grpc = false;
  /** From the response's headers or trailers; -1 where there is none. */
  grpcStatus = -1;

  routeName = '';
  virtualHost = '';
  upstreamCluster = '';
  /** `ip:port`. */
  upstreamHost = '';
  upstreamLocalAddress = '';
  /** Tries made upstream, the first one included. */
  attempts = 0;
  destinationService: DestinationService | null = null;
  /** The other workload: the caller on inbound, the chosen endpoint on outbound. */
  peer: WorkloadMetadata = UNKNOWN_WORKLOAD;
  /** Whether the upstream connection is mutual TLS. */
  upstreamMutualTls = false;
  /** SPIFFE id of the upstream peer's verified certificate, or ''. */
  upstreamPeerPrincipal = '';

  constructor(startTimeMs: number, startMs: number, downstream: ConnectionInfo) {
    this.startTimeMs = startTimeMs;
    this.startMs = startMs;
    this.downstream = downstream;
  }
}
const EMPTY: string[] = [];
