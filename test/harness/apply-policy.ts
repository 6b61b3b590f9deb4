import { parseAllDocuments } from 'yaml';
import type { ControlPlane } from './control-plane.ts';

const PLURALS = new Map([
  ['ServiceEntry', 'serviceentries'],
  ['WorkloadEntry', 'workloadentries'],
  ['VirtualService', 'virtualservices'],
  ['DestinationRule', 'destinationrules'],
]);

interface Policy {
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

/** Creates or replaces each policy of a YAML text in namespace `default`, over the API. */
export async function applyPolicy(controlPlane: ControlPlane, text: string): Promise<void> {
  for (const document of parseAllDocuments(text)) {
    const policy = document.toJS() as Policy;
    const created = await send('POST', collection(controlPlane, policy.kind), policy);
    if (created.status === 201) continue;
    const path = `${collection(controlPlane, policy.kind)}/${policy.metadata.name}`;
    const replaced = created.status === 409 ? await send('PUT', path, policy) : created;
    if (!replaced.ok) throw new Error(`${path}: ${replaced.status} ${await replaced.text()}`);
  }
}

export async function deletePolicy(
  controlPlane: ControlPlane,
  kind: string,
  name: string,
): Promise<void> {
  const path = `${collection(controlPlane, kind)}/${name}`;
  const deleted = await send('DELETE', path);
  if (!deleted.ok) throw new Error(`${path}: ${deleted.status} ${await deleted.text()}`);
}

function collection({ api }: ControlPlane, kind: string): string {
  const plural = PLURALS.get(kind);
  if (plural === undefined) throw new Error(`no plural of ${kind} is known here`);
  return `${api}/apis/networking.istio.io/v1/namespaces/default/${plural}`;
}

function send(method: string, url: string, body?: object): Promise<Response> {
  const init: RequestInit = { method, headers: { 'content-type': 'application/json' } };
  if (body !== undefined) init.body = JSON.stringify(body);
  return fetch(url, init);
}
