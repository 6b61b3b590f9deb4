import type { StringMap } from './resource.ts';

/** networking.istio.io/v1 DestinationRule, with defaults applied. Field names are Istio's. */
export interface DestinationRuleSpec {
  /** A short name expands with the object's namespace; may be a wildcard (`*.example.com`). */
  readonly host: string;
  readonly trafficPolicy?: TrafficPolicy;
  readonly subsets: readonly Subset[];
  /** Default `[*]`. */
  readonly exportTo: readonly string[];
}

/** A named part of a host's endpoints (TM-09). Its policy replaces only the blocks that it names. */
export interface Subset {
  readonly name: string;
  readonly labels: StringMap;
  readonly trafficPolicy?: TrafficPolicy;
}

export interface TrafficPolicy extends PolicyBlocks {
  /** Replaces the parent whole for that port: what an entry omits falls to defaults. */
  readonly portLevelSettings: readonly PortTrafficPolicy[];
}

export interface PortTrafficPolicy extends PolicyBlocks {
  readonly port: { readonly number: number };
}

export interface PolicyBlocks {
  readonly loadBalancer?: LoadBalancerSettings;
  readonly connectionPool?: ConnectionPoolSettings;
  readonly tls?: ClientTLSSettings;
}

export interface LoadBalancerSettings {
  /** Default LEAST_REQUEST; Istio's deprecated LEAST_CONN and UNSPECIFIED arrive as LEAST_REQUEST. */
  readonly simple: 'ROUND_ROBIN' | 'LEAST_REQUEST' | 'RANDOM' | 'PASSTHROUGH';
}

export interface ConnectionPoolSettings {
  readonly tcp?: {
    /** Duration string, at least 1ms; absent = 10s (RS-10). */
    readonly connectTimeout?: string;
  };
}

export interface ClientTLSSettings {
  /** Absent block = automatic mutual TLS (SC-02). */
  readonly mode: 'DISABLE' | 'ISTIO_MUTUAL';
}
