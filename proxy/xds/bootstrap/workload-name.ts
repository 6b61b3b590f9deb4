/** The letters that Kubernetes makes random names of: no vowels, and no digit that looks like one. */
const HASH = '[bcdfghjklmnpqrstvwxz2456789]';
const DEPLOYMENT_POD = new RegExp(`^(.+)-${HASH}{6,10}-${HASH}{5}$`);
const RANDOM_END = new RegExp(`^(.+)-${HASH}{5}$`);

/** Labels that a controller leaves on pods whose names it ends at random. */
const CONTROLLER_LABELS = [
  'controller-revision-hash',
  'job-name',
  'batch.kubernetes.io/job-name',
] as const;

/**
 * The workload of a pod by its name, where nobody says it (KI-08): `reviews-v1-5f7d8c9b4-x2k9q` is of `reviews-v1`. The
 * labels of controllers, where they are known, keep a name such as `app-http2` whole.
 */
export function workloadOfPod(podName: string, labels: ReadonlyMap<string, string>): string {
  const templateHash = labels.get('pod-template-hash');
  if (templateHash !== undefined) {
    const at = podName.lastIndexOf(`-${templateHash}-`);
    if (at > 0) return podName.slice(0, at);
  }
  if (CONTROLLER_LABELS.some((label) => labels.has(label))) {
    const ofStatefulSet = labels.has('statefulset.kubernetes.io/pod-name');
    const end = ofStatefulSet ? /^(.+)-\d+$/ : RANDOM_END;
    return end.exec(podName)?.[1] ?? podName;
  }
  return DEPLOYMENT_POD.exec(podName)?.[1] ?? podName;
}

/** The service that a workload is known by in telemetry (KI-08). */
export function canonicalService(labels: ReadonlyMap<string, string>, workload: string): string {
  return (
    labels.get('service.istio.io/canonical-name') ||
    labels.get('app.kubernetes.io/name') ||
    labels.get('app') ||
    workload
  );
}
