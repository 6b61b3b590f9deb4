import { parseAllDocuments } from 'yaml';
import type { ControlPlane } from './control-plane.ts';

/** Group and plural of the kinds. */
const COLLECTIONS = new Map<string, readonly [string, string]>([
  ['ServiceEntry', ['networking.istio.io', 'serviceentries']],
  ['WorkloadEntry', ['networking.istio.io', 'workloadentries']],
  ['VirtualService', ['networking.istio.io', 'virtualservices']],
  ['DestinationRule', ['networking.istio.io', 'destinationrules']],
  ['PeerAuthentication', ['security.istio.io', 'peerauthentications']],
]);

/** Nobody without a certificate of the mesh, in the whole namespace (SC-02). */
export const STRICT_MTLS = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}`;

interface Policy {
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

/** Creates or replaces each policy of a YAML text in namespace `default`, over the API. */
export async function applyPolicy(controlPlane: ControlPlane, text: string): Promise<void> {
  for (const document of parseAllDocuments(text)) {
    const policy = document.toJS() as Policy;
    const created = await send(controlPlane, 'POST', collection(controlPlane, policy.kind), policy);
    if (created.status === 201) continue;
    const path = `${collection(controlPlane, policy.kind)}/${policy.metadata.name}`;
    const replaced =
      created.status === 409 ? await send(controlPlane, 'PUT', path, policy) : created;
    if (!replaced.ok) throw new Error(`${path}: ${replaced.status} ${await replaced.text()}`);
  }
}

export async function deletePolicy(
  controlPlane: ControlPlane,
  kind: string,
  name: string,
): Promise<void> {
  const path = `${collection(controlPlane, kind)}/${name}`;
  const deleted = await send(controlPlane, 'DELETE', path);
  if (!deleted.ok) throw new Error(`${path}: ${deleted.status} ${await deleted.text()}`);
}

function collection({ api }: ControlPlane, kind: string): string {
  const [group, plural] = COLLECTIONS.get(kind) ?? [];
  if (group === undefined) throw new Error(`the collection of ${kind} is not known here`);
  return `${api}/apis/${group}/v1/namespaces/default/${plural}`;
}

function send(
  controlPlane: ControlPlane,
  method: string,
  url: string,
  body?: object,
): Promise<Response> {
  const init: RequestInit = { method, headers: { 'content-type': 'application/json' } };
  if (body !== undefined) init.body = JSON.stringify(body);
  return controlPlane.fetch(url, init);
}
