import type { ListenAddress } from './listen-address.ts';
import type { DebounceOptions } from './mesh/debounce.ts';
import type { MeshOptions } from './mesh/mesh-options.ts';

export interface ControlPlaneOptions {
  /** Everything that is kept: policies, the authority, registrations. Made with mode 0700. */
  readonly dataDirectory: string;
  readonly xds: ListenAddress;
  readonly api: ListenAddress;
  readonly monitoring: ListenAddress;
  /** Discovery without identity, on loopback only; null = none. */
  readonly plaintextXds: ListenAddress | null;
  readonly mesh: MeshOptions;
  /** Where services, pods and their identities come from besides; null = from no cluster. */
  readonly kubernetes: KubernetesOptions | null;
  /** Further trust domains whose identities count as the mesh's own (SC-03). */
  readonly trustDomainAliases: readonly string[];
  /** Further host names and addresses in the certificate of the xDS port. */
  readonly serverNames: readonly string[];
  /** Milliseconds; longest and usual life of a workload's certificate. */
  readonly workloadCertTtlMs: number;
  /** Milliseconds that an endpoint outlives its sidecar's stream (DS-04). */
  readonly registrationLeaseMs: number;
  readonly debounce: DebounceOptions;
  /**
   * Where policies are kept, and with them the authority: in the data directory of the one control plane, or in the cluster,
   * which several replicas share.
   */
  readonly store: 'sqlite' | 'kubernetes';
  /** With `store` kubernetes. */
  readonly replica: ReplicaOptions;
  /** Admission webhooks; null = none. */
  readonly webhooks: ListenAddress | null;
  /** YAML file with what the webhook injects; null = defaults. */
  readonly injectionSettings: string | null;
  /** Bearer token of the API; needed where it does not listen on loopback. */
  readonly apiToken: string | undefined;
  readonly version: string;
}

export interface KubernetesOptions {
  /** File; null = the service account of this pod. */
  readonly kubeconfig: string | null;
  /** Of the kubeconfig; '' = its current one. */
  readonly context: string;
  /** `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`. */
  readonly serviceHost: string | undefined;
  readonly servicePort: string | undefined;
  /** A sidecar's token must be meant for one of these. */
  readonly tokenAudiences: readonly string[];
}

/** One replica of a control plane that lives in a cluster. */
export interface ReplicaOptions {
  /** Of this control plane, its Lease and its Secret; null = that of its credentials. */
  readonly podNamespace: string | null;
  /** For people who look at the Lease. */
  readonly podName: string;
  /** Milliseconds that others wait for a leader that is gone. */
  readonly leaseDurationMs: number;
  /** Name of the Secret with the authority. */
  readonly caSecret: string;
}

/** Time and chance, chosen by `main.ts`. */
export interface ControlPlaneClock {
  /** Wall clock, milliseconds since 1970. */
  readonly wallMs: () => number;
  /** Milliseconds, above 0. */
  readonly monotonicMs: () => number;
  readonly schedule: (delayMs: number, callback: () => void) => () => void;
  /** From 0 up to 1. */
  readonly random?: () => number;
}
