/** Mesh-wide settings; the defaults are Istio's. Chosen once, at start. */
export interface MeshOptions {
  /** SPIFFE trust domain (SC-03). */
  readonly trustDomain: string;
  /** Policies of this namespace hold for the whole mesh (PL-04). */
  readonly rootNamespace: string;
  /** What short names are completed with: `<name>.<namespace>.svc.<domain>`. */
  readonly domain: string;
  /** TM-19. */
  readonly outboundTrafficPolicy: 'ALLOW_ANY' | 'REGISTRY_ONLY';
  /** Path of the sidecars' access log (`/dev/stdout`), '' = off (OB-07). */
  readonly accessLogFile: string;
  readonly accessLogEncoding: 'TEXT' | 'JSON';
  /**
   * Milliseconds that a peer has to say what it speaks, on ports where that must be known; then its connection goes on
   * as opaque bytes (PR-02, A1.4). 0 = for ever, which is Istio's default.
   */
  readonly protocolDetectionTimeoutMs: number;
  /** `CLUSTER_ID` of workloads that name none. */
  readonly clusterId: string;
}

export const MESH_DEFAULTS: MeshOptions = {
  trustDomain: 'cluster.local',
  rootNamespace: 'istio-system',
  domain: 'cluster.local',
  outboundTrafficPolicy: 'ALLOW_ANY',
  accessLogFile: '',
  accessLogEncoding: 'TEXT',
  protocolDetectionTimeoutMs: 5000,
  clusterId: 'Kubernetes',
};
