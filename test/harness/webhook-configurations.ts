import type { KubernetesObject } from '../../control-plane/kubernetes/kubernetes-object.ts';

/** What an installation has: four webhooks for pods whose selectors never overlap, one for policies. */
export function webhookConfigurations(): KubernetesObject[] {
  const metadata = (name: string) => ({ name, labels: { 'weft.dev/inject-ca-bundle': 'true' } });
  const service = (path: string) => ({
    service: { namespace: 'weft-system', name: 'weft-control-plane', port: 443, path },
  });
  const rest = {
    failurePolicy: 'Fail',
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
    timeoutSeconds: 5,
  };
  const pods = {
    rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
    clientConfig: service('/inject'),
    ...rest,
  };
  const select = (...matchExpressions: object[]) => ({ matchExpressions });
  const isIn = (key: string, ...values: string[]) => ({ key, operator: 'In', values });
  const isNot = (key: string, ...values: string[]) => ({ key, operator: 'NotIn', values });
  const hasNo = (key: string) => ({ key, operator: 'DoesNotExist' });
  const [injection, revision, inject] = [
    'istio-injection',
    'istio.io/rev',
    'sidecar.istio.io/inject',
  ];
  // Without our own namespace: an injector that is down must not keep itself from starting.
  const foreign = isNot('kubernetes.io/metadata.name', 'kube-system', 'weft-system');
  return [
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: metadata('weft-sidecar-injector'),
      webhooks: [
        {
          ...pods,
          name: 'rev.namespace.sidecar-injector.weft.dev',
          namespaceSelector: select(foreign, isIn(revision, 'default'), hasNo(injection)),
          objectSelector: select(isNot(inject, 'false')),
        },
        {
          ...pods,
          name: 'rev.object.sidecar-injector.weft.dev',
          namespaceSelector: select(foreign, hasNo(revision), hasNo(injection)),
          objectSelector: select(isNot(inject, 'false'), isIn(revision, 'default')),
        },
        {
          ...pods,
          name: 'namespace.sidecar-injector.weft.dev',
          namespaceSelector: select(foreign, isIn(injection, 'enabled')),
          objectSelector: select(isNot(inject, 'false')),
        },
        {
          ...pods,
          name: 'object.sidecar-injector.weft.dev',
          namespaceSelector: select(foreign, hasNo(injection), hasNo(revision)),
          objectSelector: select(isIn(inject, 'true'), hasNo(revision)),
        },
      ],
    },
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingWebhookConfiguration',
      metadata: metadata('weft-policy-validator'),
      webhooks: [
        {
          ...rest,
          name: 'validation.weft.dev',
          clientConfig: service('/validate'),
          rules: [
            {
              operations: ['CREATE', 'UPDATE'],
              apiGroups: ['networking.istio.io', 'security.istio.io'],
              apiVersions: ['*'],
              resources: ['*'],
            },
          ],
        },
      ],
    },
  ];
}
