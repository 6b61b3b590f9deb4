/** A workload's identity as SPIFFE names it (SC-03). */
export interface WorkloadIdentity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`. */
export function spiffeId(identity: WorkloadIdentity): string {
  return `spiffe://${identity.trustDomain}/ns/${identity.namespace}/sa/${identity.serviceAccount}`;
}

const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;
/** RFC 1123 label: Kubernetes namespaces. */
const NAMESPACE = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
/** RFC 1123 subdomain: Kubernetes service accounts. */
const SERVICE_ACCOUNT = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** The identity in a SPIFFE id of Istio's form, or null where it is anything else. */
export function parseSpiffeId(id: string): WorkloadIdentity | null {
  if (id.length > 2048 || !id.startsWith('spiffe://')) return null;
  const parts = id.slice('spiffe://'.length).split('/');
  if (parts.length !== 5 || parts[1] !== 'ns' || parts[3] !== 'sa') return null;
  const identity = { trustDomain: parts[0]!, namespace: parts[2]!, serviceAccount: parts[4]! };
  return identityProblem(identity) === null ? identity : null;
}

/** What is wrong with the names of an identity, or null. */
export function identityProblem(identity: WorkloadIdentity): string | null {
  if (!TRUST_DOMAIN.test(identity.trustDomain)) {
    return `trust domain "${identity.trustDomain}" must be lower-case letters, digits, ".", "_" or "-"`;
  }
  if (!NAMESPACE.test(identity.namespace)) {
    return `namespace "${identity.namespace}" must be a DNS label: lower-case letters, digits and "-", at most 63`;
  }
  if (!SERVICE_ACCOUNT.test(identity.serviceAccount)) {
    return `service account "${identity.serviceAccount}" must be a DNS name: lower-case letters, digits, "-" and "."`;
  }
  return null;
}

export function sameIdentity(a: WorkloadIdentity, b: WorkloadIdentity): boolean {
  return (
    a.trustDomain === b.trustDomain &&
    a.namespace === b.namespace &&
    a.serviceAccount === b.serviceAccount
  );
}
