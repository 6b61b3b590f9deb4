import type { StringMap } from './resource.ts';
import type { WorkloadEntrySpec } from './workload-entry.ts';

/** networking.istio.io/v1 ServiceEntry, with defaults applied (DS-02). Field names are Istio's. */
export interface ServiceEntrySpec {
  readonly hosts: readonly string[];
  /** Virtual addresses: IP or CIDR. */
  readonly addresses: readonly string[];
  readonly ports: readonly ServicePort[];
  /** Default MESH_EXTERNAL. */
  readonly location: 'MESH_EXTERNAL' | 'MESH_INTERNAL';
  /** Default NONE. */
  readonly resolution: 'NONE' | 'STATIC' | 'DNS';
  /** Not together with `workloadSelector`. */
  readonly endpoints: readonly WorkloadEntrySpec[];
  /** Takes WorkloadEntries of the same namespace. */
  readonly workloadSelector?: { readonly labels: StringMap };
  /** Default `[*]`. */
  readonly exportTo: readonly string[];
  /** Accepted server identities (SPIFFE URIs). */
  readonly subjectAltNames: readonly string[];
}

export interface ServicePort {
  readonly number: number;
  readonly name: string;
  /** Upper case: HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TCP, TLS, MONGO, REDIS, MYSQL, UDP; empty = detect. */
  readonly protocol: string;
  /** Port of the endpoints; default `number`. */
  readonly targetPort: number;
}
