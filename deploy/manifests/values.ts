import type { StringMap } from '../../control-plane/kinds/resource.ts';

/** What an installation in a cluster can be told, complete; `values-schema.ts` has defaults, bounds and words for people. */
export interface InstallValues {
  readonly image: ImageValues;
  readonly mesh: MeshValues;
  readonly controlPlane: ControlPlaneValues;
  readonly webhooks: WebhookValues;
  readonly injection: InjectionValues;
  readonly networkPolicy: { readonly enabled: boolean };
  readonly monitoring: MonitoringValues;
}

export interface ImageValues {
  readonly repository: string;
  readonly tag: string;
  readonly pullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** Names of Secrets. */
  readonly pullSecrets: readonly string[];
}

export interface MeshValues {
  readonly trustDomain: string;
  readonly clusterDomain: string;
  readonly rootNamespace: string;
  readonly outboundTrafficPolicy: 'ALLOW_ANY' | 'REGISTRY_ONLY';
  /** Path, or '' = off. */
  readonly accessLog: string;
  readonly accessLogEncoding: 'TEXT' | 'JSON';
}

export interface ControlPlaneValues {
  readonly replicas: number;
  readonly logLevel: string;
  readonly resources: ResourceValues;
  readonly podDisruptionBudget: { readonly enabled: boolean; readonly minAvailable: number };
  readonly antiAffinity: 'preferred' | 'required' | 'none';
  readonly nodeSelector: StringMap;
  readonly tolerations: readonly Toleration[];
  readonly priorityClassName: string;
  readonly podAnnotations: StringMap;
  readonly podLabels: StringMap;
  /** Whether `weft apply` may write through a replica's API; kubectl needs no leave of the control plane. */
  readonly writesPolicies: boolean;
  /** Further flags of `weft control-plane`. */
  readonly extraArgs: readonly string[];
}

export interface ResourceValues {
  readonly requests: StringMap;
  readonly limits: StringMap;
}

export interface Toleration {
  readonly key?: string;
  readonly operator?: 'Exists' | 'Equal';
  readonly value?: string;
  readonly effect?: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute';
  readonly tolerationSeconds?: number;
}

export interface WebhookValues {
  readonly injection: WebhookSwitch;
  readonly validation: WebhookSwitch;
}

export interface WebhookSwitch {
  readonly enabled: boolean;
  readonly failurePolicy: 'Fail' | 'Ignore';
  readonly timeoutSeconds: number;
}

/** InjectionSettings of `control-plane/injector/settings.ts`, but for what follows from the rest of the installation. */
export interface InjectionValues {
  readonly nativeSidecar: boolean;
  readonly holdApplicationUntilProxyStarts: boolean;
  readonly dnsCapture: boolean;
  readonly injectByDefault: boolean;
  readonly revision: string;
  readonly revisionTags: readonly string[];
  readonly neverInjectSelector: readonly LabelSelector[];
  readonly alwaysInjectSelector: readonly LabelSelector[];
  readonly interceptionMode: 'REDIRECT' | 'NONE';
  readonly rewriteAppProbes: boolean;
  readonly mergePrometheus: boolean;
  readonly includeInboundPorts: string;
  readonly excludeInboundPorts: string;
  readonly includeOutboundPorts: string;
  readonly excludeOutboundPorts: string;
  readonly includeOutboundIpRanges: string;
  readonly excludeOutboundIpRanges: string;
  readonly logLevel: string;
  readonly terminationDrainSeconds: number;
  readonly statusPort: number;
  readonly readinessInitialDelaySeconds: number;
  readonly readinessPeriodSeconds: number;
  readonly readinessFailureThreshold: number;
  readonly resources: ResourceValues;
  readonly env: StringMap;
  readonly lockedAnnotations: readonly string[];
  /** Names of Secrets of each namespace. */
  readonly imagePullSecrets: readonly string[];
}

export interface LabelSelector {
  readonly matchLabels?: StringMap;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    readonly values?: readonly string[];
  }[];
}

export interface MonitoringValues {
  readonly serviceMonitor: MonitorValues;
  readonly podMonitor: MonitorValues;
}

export interface MonitorValues {
  readonly enabled: boolean;
  /** Prometheus duration. */
  readonly interval: string;
  /** What a Prometheus object selects its monitors by. */
  readonly labels: StringMap;
}
