import type { StringMap } from '../kinds/resource.ts';
import type { Protocol } from './protocol.ts';

/**
 * The vocabulary of discovery. Sources (policy objects, sidecars that register themselves, Kubernetes, later Consul,
 * Eureka) say what they know in these words; `service-directory.ts` joins them into what the mesh sees.
 */

/** A host that can be called. Immutable; the same object from snapshot to snapshot while nothing of it changed. */
export interface Service {
  /** Lower case FQDN; a ServiceEntry's may be a wildcard (`*.example.com`). */
  readonly host: string;
  /** Where it was declared: rules and visibility look here. */
  readonly namespace: string;
  /** By number, ascending; at least one. */
  readonly ports: readonly ServicePort[];
  /** Virtual addresses: IP or CIDR. */
  readonly addresses: readonly string[];
  readonly resolution: Resolution;
  readonly location: 'MESH_INTERNAL' | 'MESH_EXTERNAL';
  /** As in policy objects (TM-22). */
  readonly exportTo: readonly string[];
  /** Identities accepted besides those of its endpoints' accounts. */
  readonly subjectAltNames: readonly string[];
  /** Identities of its endpoints, `namespace/account`, sorted: what a caller expects of the server (SC-03). */
  readonly serviceAccounts: readonly string[];
  /** RFC 3339. Of two that claim one host the older wins. */
  readonly creationTimestamp: string;
  /** For messages: `ServiceEntry default/reviews`. */
  readonly origin: string;
  /** Made by a platform (Kubernetes) and not by an author of policies: of two that claim one address this one has it. */
  readonly isOfPlatform?: true;
  /** Labels of the workloads of its namespace that serve it, where its source chooses them so (Kubernetes). */
  readonly selector?: StringMap;
}

export type Resolution = 'STATIC' | 'DNS' | 'NONE';

export interface ServicePort {
  readonly number: number;
  readonly name: string;
  readonly protocol: Protocol;
  /** Where its workloads listen; absent = the source does not say, or they differ. */
  readonly targetPort?: number;
}

/** An address behind a service. Immutable. */
export interface Endpoint {
  /** IP, DNS name (resolution DNS) or `unix:///path`. */
  readonly address: string;
  /** Service port → port that is dialled. A service port that is absent has no endpoint here. */
  readonly ports: ReadonlyMap<number, number>;
  readonly labels: StringMap;
  readonly namespace: string;
  /** Name of the workload, for telemetry; '' if unknown. */
  readonly workload: string;
  /** '' if unknown: callers cannot check its identity. */
  readonly serviceAccount: string;
  /** Relative within its locality, at least 1 (LB-07). */
  readonly weight: number;
  /** `region/zone/subzone`, or ''. */
  readonly locality: string;
  readonly health: Health;
  /** `istio`: a sidecar answers there and takes mesh mTLS (SC-01). */
  readonly tlsMode: 'istio' | 'disabled';
}

export type Health = 'HEALTHY' | 'UNHEALTHY';

/** A running instance, as its source knows it: services find theirs by name or by labels. */
export interface Workload {
  readonly name: string;
  readonly namespace: string;
  readonly address: string;
  readonly labels: StringMap;
  readonly serviceAccount: string;
  readonly weight: number;
  readonly locality: string;
  readonly health: Health;
  readonly tlsMode: 'istio' | 'disabled';
  /** By service port name: a WorkloadEntry's `ports`. */
  readonly portsByName: ReadonlyMap<string, number>;
  /** By service port number: what a sidecar declared. */
  readonly portsByNumber: ReadonlyMap<number, number>;
  /** Host of the service it says it belongs to, or '' where only labels decide. */
  readonly host: string;
  readonly creationTimestamp: string;
}

/** A service that exists because a workload declared it, not because an object describes it. */
export interface DeclaredService {
  readonly host: string;
  readonly namespace: string;
  readonly ports: readonly ServicePort[];
  /** `namespace/account` of every workload that serves it, and of those that went not long ago. */
  readonly serviceAccounts: readonly string[];
  readonly creationTimestamp: string;
  /** Virtual addresses; absent where there are none yet. */
  readonly addresses?: readonly string[];
}

/**
 * A service that its source describes whole, endpoints included. It wins over a ServiceEntry of the same host (DS-02). The same
 * object until something of it changes.
 */
export interface ProvidedService {
  readonly service: Service;
  readonly endpoints: readonly Endpoint[];
}

/** All that a source knows at one moment. */
export interface RegistryContents {
  readonly provided?: readonly ProvidedService[];
  readonly problems?: readonly RegistryProblem[];
  readonly services: readonly DeclaredService[];
  readonly workloads: readonly Workload[];
}

/** A source of services and workloads beside the policy store. */
export interface Registry {
  /** For messages and status. */
  readonly name: string;
  /** The same object until something changes. */
  read(): RegistryContents;
  /** Called after each change; returns the way to stop it. */
  onChange(listener: () => void): () => void;
}

/** What somebody should know about discovery: two claim one host, a port is not declared, … */
export interface RegistryProblem {
  /** `ServiceEntry default/reviews` */
  readonly subject: string;
  readonly message: string;
}
