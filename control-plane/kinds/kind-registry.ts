import { nearest } from '../../proto/nearest.ts';
import { destinationRule } from './destination-rule.ts';
import type { Kind } from './kind.ts';
import { peerAuthentication } from './peer-authentication.ts';
import { groupOf } from './resource.ts';
import { serviceEntry } from './service-entry.ts';
import { virtualService } from './virtual-service.ts';
import { workloadEntry } from './workload-entry.ts';

/** Every kind that Weft understands. A new kind is one file, and one line here. */
export const KINDS: readonly Kind[] = [
  virtualService,
  destinationRule,
  serviceEntry,
  workloadEntry,
  peerAuthentication,
];

/** Kinds that mesh users have and that Weft does not support yet, so that the error can say just that. */
const NOT_YET: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  [
    'networking.istio.io',
    new Set(['Gateway', 'Sidecar', 'EnvoyFilter', 'WorkloadGroup', 'ProxyConfig']),
  ],
  ['security.istio.io', new Set(['AuthorizationPolicy', 'RequestAuthentication'])],
  ['telemetry.istio.io', new Set(['Telemetry'])],
  ['extensions.istio.io', new Set(['WasmPlugin', 'TrafficExtension'])],
  [
    'gateway.networking.k8s.io',
    new Set([
      'Gateway',
      'GatewayClass',
      'HTTPRoute',
      'GRPCRoute',
      'TCPRoute',
      'TLSRoute',
      'UDPRoute',
      'ReferenceGrant',
      'BackendTLSPolicy',
    ]),
  ],
]);

/** Whether the group holds mesh policies: kinds that Weft knows, or that it says why it does not. */
export function isMeshGroup(group: string): boolean {
  return NOT_YET.has(group) || KINDS.some((kind) => kind.group === group);
}

export type KindLookup =
  | { readonly kind: 'found'; readonly found: Kind }
  | { readonly kind: 'unsupported'; readonly message: string; readonly suggestion?: string };

/** The kind that an object's `apiVersion` and `kind` name. */
export function findKind(apiVersion: string, kindName: string): KindLookup {
  const group = groupOf(apiVersion);
  const version = apiVersion.slice(apiVersion.indexOf('/') + 1);
  const found = KINDS.find((kind) => kind.group === group && kind.kind === kindName);
  if (found?.versions.includes(version) === true) return { kind: 'found', found };
  if (found !== undefined) {
    const known = found.versions.map((name) => `${group}/${name}`).join(', ');
    return {
      kind: 'unsupported',
      message: `${kindName} has no version ${apiVersion}; known: ${known}`,
    };
  }
  if (NOT_YET.get(group)?.has(kindName) === true) {
    const message = `unsupported kind ${kindName} (${apiVersion}): known to mesh users, not supported by Weft yet`;
    return { kind: 'unsupported', message };
  }
  const message = `unsupported kind ${kindName} (${apiVersion}); Weft knows ${KINDS.map((kind) => kind.kind).join(', ')}`;
  const suggestion = suggestKind(apiVersion, kindName);
  return suggestion === undefined
    ? { kind: 'unsupported', message }
    : { kind: 'unsupported', message, suggestion };
}

function suggestKind(apiVersion: string, kindName: string): string | undefined {
  const sameName = KINDS.find((kind) => kind.kind === kindName);
  if (sameName !== undefined)
    return `${sameName.kind} of ${sameName.group}/${sameName.versions[0]}`;
  const names = KINDS.filter((kind) => kind.group === groupOf(apiVersion)).map((kind) => kind.kind);
  return nearest(kindName, names);
}
