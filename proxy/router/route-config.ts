import type { RbacConfig } from './rbac-config.ts';

/** Compiled `envoy.config.route.v3.RouteConfiguration`: frozen plain data, built only by `xds/`, matched by `route-table.ts`. */

export interface RouteConfig {
  readonly name: string;
  readonly version: string;
  readonly virtualHosts: readonly VirtualHostConfig[];
  /** `ignore_port_in_host_matching`. */
  readonly ignorePortInHost: boolean;
  readonly requestHeaders: HeaderMutations;
  readonly responseHeaders: HeaderMutations;
}

export interface VirtualHostConfig {
  readonly name: string;
  /** Exact, `*.suffix`, `prefix.*` or `*`, lower case (TM-07). */
  readonly domains: readonly string[];
  readonly routes: readonly RouteEntryConfig[];
  readonly requestHeaders: HeaderMutations;
  readonly responseHeaders: HeaderMutations;
  readonly retry: RetryPolicyConfig | null;
  /** Send `x-envoy-attempt-count` upstream. */
  readonly includeAttemptCount: boolean;
  readonly fault: FaultConfig | null;
  readonly rbac: PerRouteRbac;
}

export interface RouteEntryConfig {
  readonly name: string;
  readonly match: RouteMatchConfig;
  readonly action: RouteActionConfig | RedirectConfig | DirectResponseConfig;
  readonly requestHeaders: HeaderMutations;
  readonly responseHeaders: HeaderMutations;
  /** `typed_per_filter_config` of envoy.filters.http.fault (TM-18). */
  readonly fault: FaultConfig | null;
  readonly rbac: PerRouteRbac;
}

/** `RBACPerRoute` by the filter's name, for there may be several; null switches the filter off. */
export type PerRouteRbac = ReadonlyMap<string, RbacConfig | null>;

/** All parts must hold (TM-01, TM-03, TM-04). */
export interface RouteMatchConfig {
  readonly path:
    | {
        readonly kind: 'prefix' | 'exact' | 'pathSeparatedPrefix';
        readonly value: string;
        readonly ignoreCase: boolean;
      }
    | { readonly kind: 'regex'; readonly regex: RegexMatcher }
    | { readonly kind: 'connect' };
  readonly headers: readonly HeaderMatcher[];
  readonly queryParameters: readonly QueryParameterMatcher[];
  /** Only gRPC requests (content-type application/grpc). */
  readonly grpc: boolean;
  /** Numerator of a million; 1 000 000 = always (`runtime_fraction.default_value`). */
  readonly fractionPerMillion: number;
}

/** RE2 semantics, linear time, whole value must match. */
export interface RegexMatcher {
  readonly source: string;
  matches(value: string): boolean;
  /** Replaces every match with `substitution` (`\1` groups), for `regex_rewrite`. */
  replace(value: string, substitution: string): string;
}

export type StringMatcher =
  | {
      readonly kind: 'exact' | 'prefix' | 'suffix' | 'contains';
      readonly value: string;
      readonly ignoreCase: boolean;
    }
  | { readonly kind: 'regex'; readonly regex: RegexMatcher }
  | { readonly kind: 'present' }
  | { readonly kind: 'range'; readonly start: number; readonly end: number };

export interface HeaderMatcher {
  /** Lower case; may be `:method`, `:authority`, `:scheme`, `:path`. */
  readonly name: string;
  readonly value: StringMatcher;
  readonly invert: boolean;
  /** `treat_missing_header_as_empty`. */
  readonly missingAsEmpty: boolean;
}

export interface QueryParameterMatcher {
  readonly name: string;
  readonly value: StringMatcher;
}

/** TM-13: removal first, then additions. Values are compiled formats (`%REQ(x)%` …). */
export interface HeaderMutations {
  readonly remove: readonly string[];
  readonly add: readonly HeaderAddition[];
}

export interface HeaderAddition {
  readonly name: string;
  /** Plain text; or a format to be rendered per request where it holds a `%COMMAND%`. */
  readonly value: string;
  readonly format: boolean;
  readonly action: 'append' | 'overwrite' | 'addIfAbsent' | 'overwriteIfExists';
  readonly keepEmpty: boolean;
}

export interface RouteActionConfig {
  readonly kind: 'route';
  /** One entry where the route names one cluster (TM-08). The sum is > 0. */
  readonly clusters: readonly WeightedCluster[];
  readonly weightTotal: number;
  /** Name of the request header that carries the cluster's name, or ''. */
  readonly clusterHeader: string;
  /** Whole exchange, retries included; 0 = none (TM-17). Envoy's default 15 000; 0 beside `streamDuration`, as in Envoy. */
  readonly timeoutMs: number;
  /**
   * Deprecated `max_grpc_timeout`: a gRPC request has its `grpc-timeout` for `timeoutMs`, at most this; 0 = no maximum,
   * -1 = not set, `timeoutMs` holds.
   */
  readonly grpcTimeoutMaxMs: number;
  /** Deprecated `grpc_timeout_offset`: taken off the `grpc-timeout`. */
  readonly grpcTimeoutOffsetMs: number;
  /** -1 = the connection manager's. */
  readonly idleTimeoutMs: number;
  /** `max_stream_duration`; null = the connection manager's. */
  readonly streamDuration: StreamDurationConfig | null;
  readonly retry: RetryPolicyConfig | null;
  /** TM-12. */
  readonly prefixRewrite: string;
  readonly regexRewrite: { readonly regex: RegexMatcher; readonly substitution: string } | null;
  readonly hostRewrite: string;
  readonly autoHostRewrite: boolean;
  /** `upgrade_configs` of the route: protocol (lower case) → enabled; absent = the connection manager decides. */
  readonly upgrades: ReadonlyMap<string, boolean>;
  /** `cluster_not_found_response_code`, default 503. */
  readonly clusterNotFoundStatus: number;
}

/** How long a stream may last, from its head on, whatever it carries (PR-07, RS-12). */
export interface StreamDurationConfig {
  /** `max_stream_duration`; 0 = none, -1 = the connection manager's. */
  readonly maxMs: number;
  /** `grpc_timeout_header_max`: `grpc-timeout` stands for `maxMs`, at most this; 0 = no maximum, -1 = the field is not read. */
  readonly grpcTimeoutMaxMs: number;
  /** `grpc_timeout_header_offset`: taken off the `grpc-timeout`. */
  readonly grpcTimeoutOffsetMs: number;
}

export interface WeightedCluster {
  readonly name: string;
  /** 0 gets nothing. */
  readonly weight: number;
  /** Authority for this cluster's share, '' = the route's `hostRewrite`. */
  readonly hostRewrite: string;
  readonly requestHeaders: HeaderMutations;
  readonly responseHeaders: HeaderMutations;
}

/** TM-10. '' and 0 mean unchanged. */
export interface RedirectConfig {
  readonly kind: 'redirect';
  readonly scheme: string;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly prefixRewrite: string;
  readonly regexRewrite: { readonly regex: RegexMatcher; readonly substitution: string } | null;
  readonly status: 301 | 302 | 303 | 307 | 308;
  readonly stripQuery: boolean;
}

/** TM-11. */
export interface DirectResponseConfig {
  readonly kind: 'directResponse';
  readonly status: number;
  readonly body: Buffer;
}

/** RS-01, RS-02, RS-03. */
export interface RetryPolicyConfig {
  /** Bits of `RetryOn` (router/retry-policy.ts). */
  readonly retryOn: number;
  readonly retriableStatusCodes: readonly number[];
  /** `retriable_headers`: fields of a response of which one is enough; may name `:status`. */
  readonly retriableHeaders: readonly HeaderMatcher[];
  /** Re-tries, the first try not counted. */
  readonly retriesMax: number;
  /** 0 = the route's timeout. */
  readonly perTryTimeoutMs: number;
  readonly backoffBaseMs: number;
  readonly backoffMaxMs: number;
  /** `previous_hosts` predicate: skip endpoints already tried. */
  readonly skipPreviousHosts: boolean;
  /** `host_selection_retry_max_attempts`, Envoy 1, Istio 5. */
  readonly hostSelectionAttemptsMax: number;
}

/** TM-18. Percentages as numerators of a million, drawn independently. */
export interface FaultConfig {
  readonly delayMs: number;
  readonly delayPerMillion: number;
  /** HTTP status, 0 = none. */
  readonly abortStatus: number;
  /** gRPC status, -1 = none. */
  readonly abortGrpcStatus: number;
  readonly abortPerMillion: number;
  /** Filter applies only to requests that match. */
  readonly headers: readonly HeaderMatcher[];
}
