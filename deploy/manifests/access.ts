import {
  AUTHORITY_SECRET,
  CONTROL_PLANE,
  LEADER_LEASE,
  ROOT_CONFIG_MAP,
} from '../../control-plane/kubernetes/own-objects.ts';
import {
  clusterName,
  INJECTION_WEBHOOKS,
  type Installation,
  labels,
  type Manifest,
  policyGroups,
  VALIDATION_WEBHOOKS,
} from './installation.ts';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

const FOLLOW = ['list', 'watch'];

/** What the control plane may do with the Kubernetes API: nothing that it does not do. */
export function accessManifests(installation: Installation): Manifest[] {
  const clusterRole = clusterName(installation, CONTROL_PLANE);
  const common = labels(installation, { app: CONTROL_PLANE });
  const { namespace } = installation;
  const subjects = [{ kind: 'ServiceAccount', name: CONTROL_PLANE, namespace }];
  const role = (kind: string, name: string) => ({
    apiGroup: 'rbac.authorization.k8s.io',
    kind,
    name,
  });
  return [
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: clusterRole, labels: common },
      rules: clusterRules(installation),
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: clusterRole, labels: common },
      roleRef: role('ClusterRole', clusterRole),
      subjects,
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: CONTROL_PLANE, namespace, labels: common },
      rules: NAMESPACE_RULES,
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: CONTROL_PLANE, namespace, labels: common },
      roleRef: role('Role', CONTROL_PLANE),
      subjects,
    },
  ];
}

function clusterRules(installation: Installation): Rule[] {
  const { webhooks } = installation.values;
  const webhookRules = (resource: string, name: string): Rule[] => [
    // Found by a label, which no list by name can be.
    { apiGroups: [ADMISSION], resources: [resource], verbs: FOLLOW },
    {
      apiGroups: [ADMISSION],
      resources: [resource],
      resourceNames: [clusterName(installation, name)],
      verbs: ['patch'],
    },
  ];
  return [
    // Services and who is behind them.
    { apiGroups: [''], resources: ['services', 'pods', 'nodes'], verbs: FOLLOW },
    { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: FOLLOW },
    // Who a sidecar is.
    { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
    // Which cluster this is, where our roots go, whose pods are injected.
    { apiGroups: [''], resources: ['namespaces'], verbs: ['get', ...FOLLOW] },
    ...policyRules(installation),
    // A ConfigMap cannot be created by name: RBAC knows the name only afterwards.
    { apiGroups: [''], resources: ['configmaps'], verbs: ['create'] },
    {
      apiGroups: [''],
      resources: ['configmaps'],
      resourceNames: [ROOT_CONFIG_MAP],
      verbs: [...FOLLOW, 'patch'],
    },
    ...(webhooks.injection.enabled
      ? webhookRules('mutatingwebhookconfigurations', INJECTION_WEBHOOKS)
      : []),
    ...(webhooks.validation.enabled
      ? webhookRules('validatingwebhookconfigurations', VALIDATION_WEBHOOKS)
      : []),
  ];
}

const ADMISSION = 'admissionregistration.k8s.io';

/** Policies are read, and only their status is written, unless `weft apply` may write them through a replica. */
function policyRules({ values }: Installation): Rule[] {
  const write = values.controlPlane.writesPolicies ? ['create', 'update', 'delete'] : [];
  return policyGroups().flatMap(([group, plurals]): Rule[] => [
    { apiGroups: [group], resources: plurals, verbs: ['get', ...FOLLOW, ...write] },
    {
      apiGroups: [group],
      resources: plurals.map((each) => `${each}/status`),
      verbs: ['patch', 'update'],
    },
  ]);
}

/** In the control plane's own namespace: who leads, and the authority that all replicas share. */
const NAMESPACE_RULES: readonly Rule[] = [
  { apiGroups: [''], resources: ['secrets'], verbs: ['create'] },
  {
    apiGroups: [''],
    resources: ['secrets'],
    resourceNames: [AUTHORITY_SECRET],
    verbs: ['get', ...FOLLOW, 'update'],
  },
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
  {
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    resourceNames: [LEADER_LEASE],
    verbs: ['get', 'update'],
  },
];
