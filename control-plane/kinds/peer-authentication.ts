import type { StringMap } from './resource.ts';

/** security.istio.io/v1 PeerAuthentication, with defaults applied (SC-02). Field names are Istio's. */
export interface PeerAuthenticationSpec {
  /** Absent = the whole namespace (the whole mesh in the root namespace). */
  readonly selector?: { readonly matchLabels: StringMap };
  /** Absent = UNSET: inherited from namespace, then mesh, then PERMISSIVE. */
  readonly mtls?: MutualTLS;
  /** Keys are workload (not service) port numbers in decimal; needs a selector. */
  readonly portLevelMtls: Readonly<Record<string, MutualTLS>>;
}

export interface MutualTLS {
  readonly mode: MutualTLSMode;
}

export type MutualTLSMode = 'UNSET' | 'DISABLE' | 'PERMISSIVE' | 'STRICT';
