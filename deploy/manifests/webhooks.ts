import {
  CONTROL_PLANE,
  clusterName,
  INJECTION_WEBHOOKS,
  type Installation,
  labels,
  type Manifest,
  PORT_WEBHOOK_SERVICE,
  policyGroups,
  VALIDATION_WEBHOOKS,
} from './installation.ts';

/** Never injected (KI-01); our own, so that a dead injector does not keep itself from coming back. */
const NEVER = ['kube-system', 'kube-public', 'kube-node-lease', 'local-path-storage'];
/** Ours wins where both stand. */
const NAMESPACE_LABELS = ['weft.dev/injection', 'istio-injection'] as const;
const POD_LABELS = ['sidecar.weft.dev/inject', 'sidecar.istio.io/inject'] as const;
const REVISION_LABELS = ['weft.dev/rev', 'istio.io/rev'] as const;

type Requirement = {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values?: readonly string[];
};

export function webhookManifests(installation: Installation): Manifest[] {
  const { injection, validation } = installation.values.webhooks;
  return [
    ...(injection.enabled ? [injectionWebhooks(installation)] : []),
    ...(validation.enabled ? [validationWebhooks(installation)] : []),
  ];
}

/**
 * Istio's arrangement: one webhook for each way to ask for a sidecar, selectors disjoint so that a pod is sent once. `caBundle`
 * is left out: the control plane writes it, and again when the root changes.
 */
function injectionWebhooks(installation: Installation): Manifest {
  const { webhooks, injection } = installation.values;
  const { failurePolicy, timeoutSeconds } = webhooks.injection;
  const revisions = [injection.revision, ...injection.revisionTags];
  const webhook = (name: string, namespaces: Requirement[], pods: Requirement[]) => ({
    name: `${name}.injection.weft.dev`,
    clientConfig: clientConfig(installation, '/inject'),
    rules: [
      {
        apiGroups: [''],
        apiVersions: ['v1'],
        operations: ['CREATE'],
        resources: ['pods'],
        scope: 'Namespaced',
      },
    ],
    namespaceSelector: { matchExpressions: [...namespaces, notOurs(installation)] },
    objectSelector: { matchExpressions: pods },
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    failurePolicy,
    timeoutSeconds,
    reinvocationPolicy: 'Never',
    matchPolicy: 'Equivalent',
  });
  const silent = [...NAMESPACE_LABELS, ...REVISION_LABELS].map(absent);
  const notRefused = POD_LABELS.map((key) => not(key, 'false'));
  const [ours, istios] = NAMESPACE_LABELS;
  const [ourRevision, istiosRevision] = REVISION_LABELS;
  const [ourPod, istiosPod] = POD_LABELS;
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: {
      name: clusterName(installation, INJECTION_WEBHOOKS),
      labels: labels(installation, { app: CONTROL_PLANE, 'weft.dev/inject-ca-bundle': 'true' }),
    },
    webhooks: [
      webhook('namespace', [is(ours, 'enabled')], notRefused),
      webhook('namespace.istio', [absent(ours), is(istios, 'enabled')], notRefused),
      webhook(
        'rev.namespace',
        [absent(ours), absent(istios), is(ourRevision, ...revisions)],
        notRefused,
      ),
      webhook(
        'rev.namespace.istio',
        [absent(ours), absent(istios), absent(ourRevision), is(istiosRevision, ...revisions)],
        notRefused,
      ),
      webhook('object', silent, [is(ourPod, 'true')]),
      webhook('object.istio', silent, [absent(ourPod), is(istiosPod, 'true')]),
      webhook('rev.object', silent, [...POD_LABELS.map(absent), is(ourRevision, ...revisions)]),
      webhook('rev.object.istio', silent, [
        ...POD_LABELS.map(absent),
        absent(ourRevision),
        is(istiosRevision, ...revisions),
      ]),
      ...(injection.injectByDefault
        ? [webhook('auto', silent, [...POD_LABELS, ...REVISION_LABELS].map(absent))]
        : []),
    ],
  };
}

function validationWebhooks(installation: Installation): Manifest {
  const { failurePolicy, timeoutSeconds } = installation.values.webhooks.validation;
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: {
      name: clusterName(installation, VALIDATION_WEBHOOKS),
      labels: labels(installation, { app: CONTROL_PLANE, 'weft.dev/inject-ca-bundle': 'true' }),
    },
    webhooks: [
      {
        name: 'policies.validation.weft.dev',
        clientConfig: clientConfig(installation, '/validate'),
        // Our kinds, not "*": what another mesh's CRDs are for is not ours to refuse.
        rules: policyGroups().map(([group, plurals]) => ({
          apiGroups: [group],
          apiVersions: ['*'],
          operations: ['CREATE', 'UPDATE'],
          resources: plurals,
          scope: 'Namespaced',
        })),
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        failurePolicy,
        timeoutSeconds,
        matchPolicy: 'Exact',
      },
    ],
  };
}

function clientConfig({ namespace }: Installation, path: string): object {
  return { service: { name: CONTROL_PLANE, namespace, path, port: PORT_WEBHOOK_SERVICE } };
}

function notOurs({ namespace }: Installation): Requirement {
  return { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: [...NEVER, namespace] };
}

function is(key: string, ...values: readonly string[]): Requirement {
  return { key, operator: 'In', values };
}

function not(key: string, value: string): Requirement {
  return { key, operator: 'NotIn', values: [value] };
}

function absent(key: string): Requirement {
  return { key, operator: 'DoesNotExist' };
}
