import type { Fields } from './fields.ts';

/** A kind that the server serves, built in or by a CustomResourceDefinition. */
export interface ServedKind {
  readonly group: string;
  /** Preferred one first. */
  readonly versions: readonly string[];
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly subresources: readonly string[];
  /** Only `create`, and nothing is kept: reviews. */
  readonly isVirtual: boolean;
  /** Strategic merge patch is known for built-in kinds only. */
  readonly isCustom: boolean;
  /** Field selectors beside metadata.name and metadata.namespace. */
  readonly fieldSelectors: readonly string[];
  /** `additionalPrinterColumns` of a custom kind. */
  readonly columns: readonly Fields[];
}

export function kindKey({ group, plural }: { group: string; plural: string }): string {
  return `${group}/${plural}`;
}

function built(
  group: string,
  version: string,
  plural: string,
  kind: string,
  more: Partial<ServedKind> = {},
): ServedKind {
  return {
    group,
    versions: [version],
    kind,
    plural,
    singular: kind.toLowerCase(),
    shortNames: [],
    categories: [],
    namespaced: true,
    subresources: [],
    isVirtual: false,
    isCustom: false,
    fieldSelectors: [],
    columns: [],
    ...more,
  };
}

const STATUS = ['status'];
const SCALED = ['status', 'scale'];
const CLUSTER = { namespaced: false };
const VIRTUAL = { namespaced: false, isVirtual: true };
const ALL = ['all'];
const RBAC = 'rbac.authorization.k8s.io';

export const BUILT_IN_KINDS: readonly ServedKind[] = [
  built('', 'v1', 'pods', 'Pod', {
    shortNames: ['po'],
    categories: ALL,
    subresources: STATUS,
    fieldSelectors: [
      'spec.nodeName',
      'status.phase',
      'spec.serviceAccountName',
      'spec.restartPolicy',
      'status.podIP',
    ],
  }),
  built('', 'v1', 'services', 'Service', {
    shortNames: ['svc'],
    categories: ALL,
    subresources: STATUS,
    fieldSelectors: ['spec.clusterIP', 'spec.type'],
  }),
  built('', 'v1', 'endpoints', 'Endpoints', { shortNames: ['ep'] }),
  built('', 'v1', 'nodes', 'Node', {
    ...CLUSTER,
    shortNames: ['no'],
    subresources: STATUS,
    fieldSelectors: ['spec.unschedulable'],
  }),
  built('', 'v1', 'namespaces', 'Namespace', {
    ...CLUSTER,
    shortNames: ['ns'],
    subresources: ['status', 'finalize'],
    fieldSelectors: ['status.phase'],
  }),
  built('', 'v1', 'configmaps', 'ConfigMap', { shortNames: ['cm'] }),
  built('', 'v1', 'secrets', 'Secret', { fieldSelectors: ['type'] }),
  built('', 'v1', 'serviceaccounts', 'ServiceAccount', {
    shortNames: ['sa'],
    subresources: ['token'],
  }),
  built('', 'v1', 'events', 'Event', {
    shortNames: ['ev'],
    fieldSelectors: [
      'involvedObject.kind',
      'involvedObject.name',
      'involvedObject.namespace',
      'involvedObject.uid',
      'reason',
      'type',
    ],
  }),
  built('', 'v1', 'persistentvolumeclaims', 'PersistentVolumeClaim', { shortNames: ['pvc'] }),
  built('', 'v1', 'resourcequotas', 'ResourceQuota', { shortNames: ['quota'] }),
  built('', 'v1', 'limitranges', 'LimitRange', { shortNames: ['limits'] }),
  built('apps', 'v1', 'deployments', 'Deployment', {
    shortNames: ['deploy'],
    categories: ALL,
    subresources: SCALED,
  }),
  built('apps', 'v1', 'replicasets', 'ReplicaSet', {
    shortNames: ['rs'],
    categories: ALL,
    subresources: SCALED,
  }),
  built('apps', 'v1', 'statefulsets', 'StatefulSet', {
    shortNames: ['sts'],
    categories: ALL,
    subresources: SCALED,
  }),
  built('apps', 'v1', 'daemonsets', 'DaemonSet', {
    shortNames: ['ds'],
    categories: ALL,
    subresources: STATUS,
  }),
  built('apps', 'v1', 'controllerrevisions', 'ControllerRevision'),
  built('batch', 'v1', 'jobs', 'Job', { categories: ALL, subresources: STATUS }),
  built('batch', 'v1', 'cronjobs', 'CronJob', {
    shortNames: ['cj'],
    categories: ALL,
    subresources: STATUS,
  }),
  built('discovery.k8s.io', 'v1', 'endpointslices', 'EndpointSlice'),
  built('coordination.k8s.io', 'v1', 'leases', 'Lease'),
  built('networking.k8s.io', 'v1', 'networkpolicies', 'NetworkPolicy', { shortNames: ['netpol'] }),
  built('networking.k8s.io', 'v1', 'ingresses', 'Ingress', {
    shortNames: ['ing'],
    subresources: STATUS,
  }),
  built('policy', 'v1', 'poddisruptionbudgets', 'PodDisruptionBudget', {
    shortNames: ['pdb'],
    subresources: STATUS,
  }),
  built('autoscaling', 'v2', 'horizontalpodautoscalers', 'HorizontalPodAutoscaler', {
    shortNames: ['hpa'],
    subresources: STATUS,
  }),
  built(RBAC, 'v1', 'roles', 'Role'),
  built(RBAC, 'v1', 'rolebindings', 'RoleBinding'),
  built(RBAC, 'v1', 'clusterroles', 'ClusterRole', CLUSTER),
  built(RBAC, 'v1', 'clusterrolebindings', 'ClusterRoleBinding', CLUSTER),
  built(
    'admissionregistration.k8s.io',
    'v1',
    'mutatingwebhookconfigurations',
    'MutatingWebhookConfiguration',
    CLUSTER,
  ),
  built(
    'admissionregistration.k8s.io',
    'v1',
    'validatingwebhookconfigurations',
    'ValidatingWebhookConfiguration',
    CLUSTER,
  ),
  built('apiextensions.k8s.io', 'v1', 'customresourcedefinitions', 'CustomResourceDefinition', {
    ...CLUSTER,
    shortNames: ['crd', 'crds'],
    subresources: STATUS,
  }),
  built('authentication.k8s.io', 'v1', 'tokenreviews', 'TokenReview', VIRTUAL),
  built('authorization.k8s.io', 'v1', 'subjectaccessreviews', 'SubjectAccessReview', VIRTUAL),
  built(
    'authorization.k8s.io',
    'v1',
    'selfsubjectaccessreviews',
    'SelfSubjectAccessReview',
    VIRTUAL,
  ),
  built('authorization.k8s.io', 'v1', 'localsubjectaccessreviews', 'LocalSubjectAccessReview', {
    isVirtual: true,
  }),
];
