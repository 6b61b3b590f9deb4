import { KINDS } from '../../control-plane/kinds/kind-registry.ts';
import {
  AUTHORITY_SECRET,
  CONTROL_PLANE,
  clusterName,
  INJECTION_WEBHOOKS,
  type Installation,
  labels,
  type Manifest,
  ROOT_CONFIG,
  VALIDATION_WEBHOOKS,
} from './installation.ts';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

const READ = ['get', 'list', 'watch'];
const WRITE = ['get', 'patch', 'update'];

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
  const webhookRule = (resource: string, name: string): Rule => ({
    apiGroups: ['admissionregistration.k8s.io'],
    resources: [resource],
    resourceNames: [clusterName(installation, name)],
    verbs: [...READ, 'patch', 'update'],
  });
  return [
    { apiGroups: [''], resources: ['services', 'pods', 'nodes', 'namespaces'], verbs: READ },
    { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: READ },
    ...policyRules(),
    { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
    // A ConfigMap cannot be created by name: RBAC knows the name only afterwards.
    { apiGroups: [''], resources: ['configmaps'], verbs: ['create'] },
    {
      apiGroups: [''],
      resources: ['configmaps'],
      resourceNames: [ROOT_CONFIG],
      verbs: [...READ, 'patch', 'update'],
    },
    ...(webhooks.injection.enabled
      ? [webhookRule('mutatingwebhookconfigurations', INJECTION_WEBHOOKS)]
      : []),
    ...(webhooks.validation.enabled
      ? [webhookRule('validatingwebhookconfigurations', VALIDATION_WEBHOOKS)]
      : []),
  ];
}

/** Policies are read, and only their status is written. */
function policyRules(): Rule[] {
  const groups = [...new Set(KINDS.map(({ group }) => group))];
  return groups.flatMap((group) => {
    const plurals = KINDS.filter((kind) => kind.group === group).map(({ plural }) => plural);
    return [
      { apiGroups: [group], resources: plurals, verbs: READ },
      { apiGroups: [group], resources: plurals.map((each) => `${each}/status`), verbs: WRITE },
    ];
  });
}

/** In the control plane's own namespace: who leads, and the authority that all replicas share. */
const NAMESPACE_RULES: readonly Rule[] = [
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
  {
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    resourceNames: ['weft-leader'],
    verbs: WRITE,
  },
  { apiGroups: [''], resources: ['secrets'], verbs: ['create'] },
  {
    apiGroups: [''],
    resources: ['secrets'],
    resourceNames: [AUTHORITY_SECRET],
    verbs: [...READ, 'patch', 'update'],
  },
];
