import type { StringMap } from './resource.ts';

/** networking.istio.io/v1 WorkloadEntry, with defaults applied; also an inline endpoint of a ServiceEntry. */
export interface WorkloadEntrySpec {
  /** IP address, DNS name (resolution DNS) or `unix:///path`. */
  readonly address: string;
  /** Service port name → port of this workload; absent name = the service's targetPort. */
  readonly ports: Readonly<Record<string, number>>;
  readonly labels: StringMap;
  /** `region/zone/subzone`. */
  readonly locality?: string;
  /** Relative, at least 1; default 1 (LB-07). */
  readonly weight: number;
  /** Name without namespace; decides the SPIFFE identity that callers expect. */
  readonly serviceAccount?: string;
}
