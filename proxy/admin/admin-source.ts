/**
 * What the admin port shows and does, as `sidecar.ts` provides it. Everything is asked for when a
 * request arrives; nothing here may throw or wait. Values are plain, so that the pages are testable
 * without a proxy.
 */
export interface AdminSource {
  /** `envoy.admin.v3.ServerInfo.State`. */
  state(): ServerState;
  /** For `/ready` and 15021. `reason` is one sentence, shown where not ready. */
  readiness(): Readiness;
  serverInfo(): ServerDescription;
  /**
   * The messages of `envoy.admin.v3.ConfigDump.configs` as proto-JSON with proto field names, each
   * with its `@type`: BootstrapConfigDump, ClustersConfigDump, ListenersConfigDump, RoutesConfigDump,
   * SecretsConfigDump, and EndpointsConfigDump where `includeEndpoints`. Secrets are redacted here again.
   */
  configDump(options: { readonly includeEndpoints: boolean }): Iterable<JsonObject>;
  clusters(): Iterable<ClusterStatus>;
  listeners(): Iterable<ListenerStatus>;
  certificates(): Iterable<CertificateStatus>;

  /** `POST /drain_listeners`. Graceful: tells peers first and closes after the drain time. */
  drainListeners(options: { readonly graceful: boolean; readonly inboundOnly: boolean }): void;
  /** `POST /healthcheck/fail` and `/ok`: readiness as the operator wants it. */
  setHealthCheck(passing: boolean): void;
  /** `POST /reopen_logs`. */
  reopenLogs(): void;
  /** `POST /quitquitquit`; called once the answer has been sent. */
  quit(): void;
}

export type ServerState = 'LIVE' | 'DRAINING' | 'PRE_INITIALIZING' | 'INITIALIZING';

export interface Readiness {
  readonly ready: boolean;
  readonly reason: string;
}

export interface ServerDescription {
  /** Of Weft, e.g. `0.1.0`. */
  readonly version: string;
  readonly uptimeMs: number;
  /** The bootstrap's `node`, proto-JSON. */
  readonly node: JsonObject;
  /** Path of the bootstrap file, or ''. */
  readonly configPath: string;
}

export interface ClusterStatus {
  readonly name: string;
  /** `eds_service_name`, or ''. */
  readonly edsServiceName: string;
  /** False for the bootstrap's own clusters. */
  readonly addedViaApi: boolean;
  readonly connectionsMax: number;
  readonly pendingRequestsMax: number;
  readonly requestsMax: number;
  readonly retriesMax: number;
  readonly hosts: Iterable<HostStatus>;
}

export interface HostStatus {
  /** IP literal without brackets. */
  readonly address: string;
  readonly port: number;
  readonly hostname: string;
  readonly health: 'HEALTHY' | 'UNHEALTHY' | 'DRAINING' | 'UNKNOWN';
  readonly failedOutlierCheck: boolean;
  readonly failedActiveHealthCheck: boolean;
  readonly weight: number;
  readonly priority: number;
  /** `region/zone/sub-zone`, or ''. */
  readonly locality: string;
  /** Envoy's names: cx_active, cx_connect_fail, cx_total, rq_active, rq_error, rq_success, rq_timeout, rq_total. */
  readonly stats: Iterable<HostStat>;
}

export interface HostStat {
  readonly name: string;
  readonly value: number;
  readonly type: 'COUNTER' | 'GAUGE';
}

export interface ListenerStatus {
  readonly name: string;
  /** The address bound, IP literal without brackets. */
  readonly address: string;
  readonly port: number;
}

/** Certificates of one secret; the key is not given. */
export interface CertificateStatus {
  /** Where they come from: a path, or the secret's name. */
  readonly path: string;
  /** '' where the secret has none. */
  readonly trustedCaPem: string;
  readonly certificateChainPem: string;
}

export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };
export interface JsonObject {
  readonly [key: string]: JsonValue;
}
