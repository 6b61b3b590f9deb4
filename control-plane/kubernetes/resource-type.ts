/** One kind of object as the API server's paths name it. */
export interface ResourceType {
  /** '' for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

/** `v1`, `apps/v1`. */
export function apiVersionOf({ group, version }: ResourceType): string {
  return group === '' ? version : `${group}/${version}`;
}

/** `pods`, `leases.coordination.k8s.io`. */
export function typeName({ group, plural }: ResourceType): string {
  return group === '' ? plural : `${plural}.${group}`;
}

/** Of a collection; `namespace` '' = all namespaces. */
export function collectionPath(type: ResourceType, namespace: string): string {
  const root = type.group === '' ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  return type.namespaced && namespace !== ''
    ? `${root}/namespaces/${encodeURIComponent(namespace)}/${type.plural}`
    : `${root}/${type.plural}`;
}

/** Of one object, or of its subresource (`status`, `scale`, `token`). */
export function objectPath(
  type: ResourceType,
  namespace: string,
  name: string,
  subresource = '',
): string {
  const path = `${collectionPath(type, namespace)}/${encodeURIComponent(name)}`;
  return subresource === '' ? path : `${path}/${subresource}`;
}

function core(plural: string, kind: string, namespaced = true): ResourceType {
  return Object.freeze({ group: '', version: 'v1', plural, kind, namespaced });
}

function grouped(
  group: string,
  version: string,
  plural: string,
  kind: string,
  namespaced = true,
): ResourceType {
  return Object.freeze({ group, version, plural, kind, namespaced });
}

export const PODS = core('pods', 'Pod');
export const SERVICES = core('services', 'Service');
export const NODES = core('nodes', 'Node', false);
export const NAMESPACES = core('namespaces', 'Namespace', false);
export const CONFIG_MAPS = core('configmaps', 'ConfigMap');
export const SECRETS = core('secrets', 'Secret');
export const ENDPOINT_SLICES = grouped('discovery.k8s.io', 'v1', 'endpointslices', 'EndpointSlice');
export const DEPLOYMENTS = grouped('apps', 'v1', 'deployments', 'Deployment');
export const CUSTOM_RESOURCE_DEFINITIONS = grouped(
  'apiextensions.k8s.io',
  'v1',
  'customresourcedefinitions',
  'CustomResourceDefinition',
  false,
);
export const LEASES = grouped('coordination.k8s.io', 'v1', 'leases', 'Lease');
export const TOKEN_REVIEWS = grouped(
  'authentication.k8s.io',
  'v1',
  'tokenreviews',
  'TokenReview',
  false,
);
export const MUTATING_WEBHOOKS = grouped(
  'admissionregistration.k8s.io',
  'v1',
  'mutatingwebhookconfigurations',
  'MutatingWebhookConfiguration',
  false,
);
export const VALIDATING_WEBHOOKS = grouped(
  'admissionregistration.k8s.io',
  'v1',
  'validatingwebhookconfigurations',
  'ValidatingWebhookConfiguration',
  false,
);
