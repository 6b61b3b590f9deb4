/**
 * How a request ends without (or in spite of) an upstream response. Kinds are those of
 * envoy.data.accesslog.v3.ResponseFlags and Envoy's response code details;
 * `connection-manager/local-reply.ts` is the only place that turns one into a status and a body.
 */
export type LocalOutcome =
  /** No virtual host or no route matched (NR). */
  | { readonly kind: 'noRouteFound' }
  /** The listener's RDS resource has not arrived (NR). */
  | { readonly kind: 'noRouteConfiguration' }
  /** The route names a cluster that does not exist (NC); `status` is the route's choice. */
  | { readonly kind: 'noClusterFound'; readonly status: number }
  /** The cluster has no endpoint to use (UH). */
  | { readonly kind: 'noHealthyUpstream' }
  /** The endpoint picked is a listener of this very proxy. */
  | { readonly kind: 'loopDetected'; readonly endpoint: string }
  /** The try ended before (or after) its response head (UF, UC, UR, UO, UPE, LR). */
  | {
      readonly kind: 'upstreamReset';
      readonly reason: UpstreamResetReason;
      /** `%UPSTREAM_TRANSPORT_FAILURE_REASON%`, '' where the transport did not fail. */
      readonly transportFailureReason: string;
      /** Tries before this one also failed. */
      readonly retried: boolean;
    }
  /** The route's timeout is over (UT). */
  | { readonly kind: 'upstreamRequestTimeout' }
  /** The last try's own timeout is over (UT). */
  | { readonly kind: 'upstreamPerTryTimeout' }
  /** `max_stream_duration` of the cluster (UMSDR). */
  | { readonly kind: 'upstreamDurationMax'; readonly requestComplete: boolean }
  /** TM-11. */
  | { readonly kind: 'directResponse'; readonly status: number; readonly body: Buffer }
  /** TM-10. */
  | { readonly kind: 'redirect'; readonly status: number; readonly location: string }
  /** TM-18 (FI). `grpcStatus` is -1 for an HTTP abort. */
  | { readonly kind: 'faultAbort'; readonly status: number; readonly grpcStatus: number }
  /** Authorization (SC-11): `policy` is the one that denies, '' where none allows. */
  | { readonly kind: 'rbacDenied'; readonly policy: string }
  /** Upgrade or CONNECT that no configuration allows. */
  | { readonly kind: 'upgradeRefused' }
  /** Absolute-form or CONNECT on a listener that is no explicit proxy, or the like: the request makes no sense here (DPE). */
  | { readonly kind: 'badRequest'; readonly details: string }
  /** A filter could not read the request's body; `text` says so to the client. */
  | { readonly kind: 'badRequestBody'; readonly details: string; readonly text: string }
  /** `path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT`. */
  | { readonly kind: 'pathRedirect'; readonly location: string }
  /** No activity within the stream idle timeout (SI); 504 once the request has been received whole. */
  | { readonly kind: 'streamIdleTimeout'; readonly requestComplete: boolean }
  /** `request_timeout`: the request did not arrive whole in time. */
  | { readonly kind: 'requestTimeout' }
  /** `max_stream_duration`, of the route or the connection manager, or the gRPC deadline in its place (DT). */
  | { readonly kind: 'durationTimeout'; readonly requestComplete: boolean };

/** Envoy's StreamResetReason, as far as a client-role stream can meet it. */
export type UpstreamResetReason =
  | 'connectionFailure'
  | 'connectTimeout'
  | 'connectionTermination'
  | 'remoteReset'
  | 'remoteRefused'
  | 'localReset'
  | 'protocolError'
  | 'overflow';
