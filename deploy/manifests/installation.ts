import { KINDS } from '../../control-plane/kinds/kind-registry.ts';
import { CONTROL_PLANE, SYSTEM_NAMESPACE } from '../../control-plane/kubernetes/own-objects.ts';
import type { InstallValues } from './values.ts';

/** One installation: its values and what they do not say. */
export interface Installation {
  readonly values: InstallValues;
  /** Of the control plane. */
  readonly namespace: string;
  /** Version of Weft, for labels. */
  readonly version: string;
}

/** A Kubernetes object as it is written to YAML. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  /** `spec`, `data`, `rules`, … as the kind has them. */
  readonly [field: string]: unknown;
}

/** ConfigMap with the settings of injection. */
export const INJECTION_CONFIG = 'weft-injection';
/** Names of webhook configurations. */
export const INJECTION_WEBHOOKS = 'weft-injection';
export const VALIDATION_WEBHOOKS = 'weft-validation';

/** Of the Service, which the API server calls. */
export const PORT_WEBHOOK_SERVICE = 443;

/** What finds the control plane's pods. */
export const SELECTOR = { app: CONTROL_PLANE };

export function labels(
  { version }: Installation,
  further: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return {
    'app.kubernetes.io/name': 'weft',
    'app.kubernetes.io/part-of': 'weft',
    'app.kubernetes.io/version': version,
    ...further,
  };
}

/** `repository:tag`, or `repository@sha256:…`. */
export function imageName({ repository, tag }: InstallValues['image']): string {
  return tag.startsWith('@') ? `${repository}${tag}` : `${repository}:${tag}`;
}

/** Cluster-wide objects of two installations must not meet. */
export function clusterName({ namespace }: Installation, name: string): string {
  return namespace === SYSTEM_NAMESPACE ? name : `${name}-${namespace}`;
}

/** The groups of the policy kinds, each with the plurals of its kinds. */
export function policyGroups(): readonly (readonly [string, readonly string[]])[] {
  const groups = new Map<string, string[]>();
  for (const { group, plural } of KINDS) groups.set(group, [...(groups.get(group) ?? []), plural]);
  return [...groups];
}
