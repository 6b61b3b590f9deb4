/** An AdmissionReview as an API server of today sends it. */
export function admissionReview(request: {
  readonly object: unknown;
  readonly oldObject?: unknown;
  readonly operation?: string;
  readonly group?: string;
  readonly version?: string;
  readonly kind?: string;
  readonly resource?: string;
  readonly subResource?: string;
  readonly namespace?: string;
  readonly dryRun?: boolean;
  readonly uid?: string;
}): object {
  const { group = '', version = 'v1', kind = 'Pod', resource = 'pods' } = request;
  return {
    kind: 'AdmissionReview',
    apiVersion: 'admission.k8s.io/v1',
    request: {
      uid: request.uid ?? '705ab4f5-6393-11e8-b7cc-42010a800002',
      kind: { group, version, kind },
      resource: { group, version, resource },
      requestKind: { group, version, kind },
      requestResource: { group, version, resource },
      ...(request.subResource === undefined ? {} : { subResource: request.subResource }),
      namespace: request.namespace ?? 'default',
      operation: request.operation ?? 'CREATE',
      userInfo: { username: 'system:serviceaccount:kube-system:replicaset-controller' },
      object: request.object,
      oldObject: request.oldObject ?? null,
      dryRun: request.dryRun ?? false,
      options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1' },
    },
  };
}

export function virtualService(spec: unknown, metadata: object = {}): object {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'reviews', namespace: 'default', ...metadata },
    spec,
  };
}

/** The same, as a review. */
export function policyReview(object: object, request: object = {}): object {
  return admissionReview({
    object,
    group: 'networking.istio.io',
    kind: 'VirtualService',
    resource: 'virtualservices',
    ...request,
  });
}
