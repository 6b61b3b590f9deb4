import {
  NAMESPACE_LABELS,
  NEVER_NAMESPACES,
  POD_LABELS,
  REVISION_LABELS,
} from '../../control-plane/injector/policy.ts';
import { CA_BUNDLE_LABEL, CONTROL_PLANE } from '../../control-plane/kubernetes/own-objects.ts';
import {
  clusterName,
  INJECTION_WEBHOOKS,
  type Installation,
  labels,
  type Manifest,
  PORT_WEBHOOK_SERVICE,
  policyGroups,
  VALIDATION_WEBHOOKS,
} from './installation.ts';

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
      labels: labels(installation, { app: CONTROL_PLANE, [CA_BUNDLE_LABEL]: 'true' }),
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
      webhook('object', silent, [is(ourPod, 'true'), ...REVISION_LABELS.map(absent)]),
      webhook('object.istio', silent, [
        absent(ourPod),
        is(istiosPod, 'true'),
        ...REVISION_LABELS.map(absent),
      ]),
      webhook('rev.object', silent, [...notRefused, is(ourRevision, ...revisions)]),
      webhook('rev.object.istio', silent, [
        ...notRefused,
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
      labels: labels(installation, { app: CONTROL_PLANE, [CA_BUNDLE_LABEL]: 'true' }),
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

/** Neither what is never injected (KI-01) nor our own: a dead injector must not keep itself from coming back. */
function notOurs({ namespace }: Installation): Requirement {
  const values = [...NEVER_NAMESPACES, namespace];
  return { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values };
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
