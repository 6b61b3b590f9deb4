import type { Node } from '../../proto/gen/envoy/config/core/v3/base.ts';
import type { WorkloadIdentity } from '../auth/spiffe-id.ts';
import type { RegistrationRequest } from '../registry/workload-registrations.ts';
import type { ProxyView } from '../translate/proxy-view.ts';

/** What opening a stream registers (DS-04), or null where the proxy serves nothing. */
export function registrationRequest(
  view: ProxyView,
  node: Node,
  identity: WorkloadIdentity | null,
): RegistrationRequest | null {
  if (view.host === '' || view.ports.length === 0) return null;
  const bound = view.ports[0]!.listen.host;
  const probe = node.metadata?.['WEFT_APP_PROBE'];
  return {
    identity,
    namespace: view.namespace,
    serviceAccount: view.serviceAccount,
    workload: view.workload,
    host: view.host,
    // A sidecar that listens on every address is reached at the one that it says it has.
    address: UNSPECIFIED.has(bound) ? (view.addresses[0] ?? '') : bound,
    ports: view.ports.map(({ number, name, protocol, listen }) => ({
      number,
      name,
      protocol,
      dial: listen.port,
    })),
    labels: view.labels,
    locality: view.locality,
    startsUnhealthy: probe !== undefined && probe !== null && probe !== '' && probe !== 'none',
  };
}

const UNSPECIFIED: ReadonlySet<string> = new Set(['0.0.0.0', '::']);
