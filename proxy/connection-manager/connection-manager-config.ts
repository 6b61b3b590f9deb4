import type { FilterConfig } from '../filter/filter-chain.ts';
import type { Http2Settings } from '../http2/http2-settings.ts';
import type { AccessLogSink } from '../observe/access-log.ts';
import type { RouteConfig } from '../router/route-config.ts';

/** A compiled HttpConnectionManager (envoy.extensions.filters.network.http_connection_manager.v3). Built only by `xds/`. */
export interface ConnectionManagerConfig {
  readonly statPrefix: string;
  /** AUTO: by ALPN, else by the preface of HTTP/2 (PR-02). */
  readonly codecType: 'AUTO' | 'HTTP1' | 'HTTP2';
  readonly http2: Http2Settings;
  /** RDS name, or '' where `routeConfig` is inline. */
  readonly rdsRouteName: string;
  readonly routeConfig: RouteConfig | null;
  /** In configured order, the router last. */
  readonly httpFilters: readonly HttpFilterConfig[];
  readonly accessLogs: readonly AccessLogSink[];
  /** OUTBOUND of the listener → `reporter="source"`, INBOUND → `destination`; UNSPECIFIED: no Istio metrics. */
  readonly direction: 'INBOUND' | 'OUTBOUND' | 'UNSPECIFIED';
  /** Bytes; `max_request_headers_kb` × 1024, default 60 KiB (PR-14). */
  readonly requestHeadersBytesMax: number;
  /** `common_http_protocol_options.max_headers_count`, default 100. */
  readonly headersCountMax: number;
  /** 0 = off. Defaults: stream idle 300 000, request 0, request headers 10 000 (ours; Envoy: off), connection idle 3 600 000. */
  readonly streamIdleTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly requestHeadersTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** `common_http_protocol_options.max_stream_duration`, of streams whose route sets none; 0 = none. */
  readonly streamDurationMaxMs: number;
  /** `max_connection_duration`, 0 = none. */
  readonly connectionDurationMaxMs: number;
  readonly drainTimeoutMs: number;
  readonly delayedCloseTimeoutMs: number;
  /** PR-04: HTTP/1.0 is answered 426 unless allowed. */
  readonly acceptHttp10: boolean;
  readonly normalizePath: boolean;
  readonly mergeSlashes: boolean;
  readonly escapedSlashes: 'KEEP' | 'REJECT' | 'UNESCAPE_REDIRECT' | 'UNESCAPE_FORWARD';
  /** `server` response header: value, and what to do with the upstream's. Default envoy / OVERWRITE. */
  readonly serverName: string;
  readonly serverHeader: 'OVERWRITE' | 'APPEND_IF_ABSENT' | 'PASS_THROUGH';
  readonly generateRequestId: boolean;
  readonly preserveExternalRequestId: boolean;
  /** Edge behaviour: append XFF, distrust x-envoy-* and x-request-id. Default false. */
  readonly useRemoteAddress: boolean;
  readonly xffTrustedHops: number;
  /** SC-17. */
  readonly forwardClientCert:
    | 'SANITIZE'
    | 'FORWARD_ONLY'
    | 'APPEND_FORWARD'
    | 'SANITIZE_SET'
    | 'ALWAYS_FORWARD_ONLY';
  /** Which parts of the certificate XFCC shows. `By`, `Hash` and `URI` are ours to fill; Subject and DNS optional. */
  readonly clientCertSubject: boolean;
  readonly clientCertUri: boolean;
  readonly clientCertDns: boolean;
  /** `upgrade_configs`: protocol (lower case, `websocket`, `connect`) → enabled. */
  readonly upgrades: ReadonlyMap<string, boolean>;
  /** Explicit-proxy mode: absolute-form requests and CONNECT are welcome (`http_proxy` listener). */
  readonly explicitProxy: boolean;
  readonly stripAnyHostPort: boolean;
  /** Percent ×10 000 (per million) of requests without a sampling decision that get sampled; 0 = none, and tracing off where `tracing` is not set (-1). */
  readonly tracingSamplingPerMillion: number;
}

export type HttpFilterConfig = { readonly kind: 'router' } | FilterConfig;
