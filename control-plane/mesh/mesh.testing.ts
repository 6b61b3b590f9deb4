import type { DestinationRuleSpec } from '../kinds/destination-rule.ts';
import { readDocuments } from '../kinds/documents.ts';
import { withDefaults } from '../kinds/kind.ts';
import type { PeerAuthenticationSpec } from '../kinds/peer-authentication.ts';
import type { Resource } from '../kinds/resource.ts';
import type { ServiceEntrySpec } from '../kinds/service-entry.ts';
import type { VirtualServiceSpec } from '../kinds/virtual-service.ts';
import type { WorkloadEntrySpec } from '../kinds/workload-entry.ts';
import type { Protocol } from '../registry/protocol.ts';
import type { RegistryContents, Workload } from '../registry/registry.ts';
import { MESH_DEFAULTS, type MeshOptions } from './mesh-options.ts';
import { buildSnapshot, type MeshSnapshot, type SnapshotInputs } from './snapshot.ts';

/** Meshes for tests: policies as YAML, workloads in a line. */

/** Policies in the order of their age; namespace `default` where they name none. */
export function policies(yaml: string): Omit<SnapshotInputs, 'registries'> {
  const { objects, problems } = readDocuments(yaml, 'test.yaml');
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  const byKind = new Map<string, Resource[]>();
  objects.forEach(({ kind, manifest }, index) => {
    const resource: Resource = {
      apiVersion: manifest.apiVersion,
      kind: kind.kind,
      metadata: {
        name: manifest.metadata.name,
        namespace: manifest.metadata.namespace ?? 'default',
        labels: {},
        annotations: {},
        creationTimestamp: new Date(Date.UTC(2026, 0, 1) + index * 1000).toISOString(),
        generation: 1,
        resourceVersion: `${index + 1}-${JSON.stringify(manifest.spec).length}`,
        uid: String(index),
      },
      spec: withDefaults(kind, manifest.spec),
    };
    byKind.set(kind.kind, [...(byKind.get(kind.kind) ?? []), resource]);
  });
  const all = <Spec>(kind: string) => (byKind.get(kind) ?? []) as Resource<Spec>[];
  return {
    virtualServices: all<VirtualServiceSpec>('VirtualService'),
    destinationRules: all<DestinationRuleSpec>('DestinationRule'),
    serviceEntries: all<ServiceEntrySpec>('ServiceEntry'),
    workloadEntries: all<WorkloadEntrySpec>('WorkloadEntry'),
    peerAuthentications: all<PeerAuthenticationSpec>('PeerAuthentication'),
  };
}

export interface TestWorkload extends Partial<Workload> {
  /** Short name of the service, also its `app` label and service account. */
  readonly service: string;
  readonly version?: string;
  readonly port?: number;
  readonly protocol?: Protocol;
}

/** What sidecars that registered themselves give: `reviews` v1 on 127.0.0.1. */
export function sidecars(workloads: readonly TestWorkload[]): RegistryContents {
  const services = new Map<string, RegistryContents['services'][number]>();
  const registered = workloads.map((each, index): Workload => {
    const { service, version = 'v1', port = 9080, protocol = 'http', ...changes } = each;
    const namespace = each.namespace ?? 'default';
    const serviceAccount = each.serviceAccount ?? service;
    const host = each.host ?? `${service}.${namespace}.svc.cluster.local`;
    const known = services.get(host);
    services.set(host, {
      host,
      namespace,
      ports: [{ number: port, name: `${protocol}-${port}`, protocol }],
      serviceAccounts: [
        ...new Set([...(known?.serviceAccounts ?? []), `${namespace}/${serviceAccount}`]),
      ].sort(),
      creationTimestamp: '2025-01-01T00:00:00Z',
    });
    return {
      name: `${service}-${version}`,
      namespace,
      address: '127.0.0.1',
      labels: { app: service, version },
      serviceAccount,
      weight: 1,
      locality: '',
      health: 'HEALTHY',
      tlsMode: 'istio',
      portsByName: new Map(),
      portsByNumber: new Map([[port, 31_000 + index]]),
      host,
      creationTimestamp: '2025-01-01T00:00:00Z',
      ...changes,
    };
  });
  return { services: [...services.values()], workloads: registered };
}

export const BOOKINFO: readonly TestWorkload[] = [
  { service: 'productpage' },
  { service: 'details' },
  { service: 'ratings' },
  { service: 'reviews', version: 'v1' },
  { service: 'reviews', version: 'v2' },
  { service: 'reviews', version: 'v3' },
];

export function testMesh(
  yaml = '',
  workloads: readonly TestWorkload[] = BOOKINFO,
  options: Partial<MeshOptions> = {},
  previous?: MeshSnapshot,
): MeshSnapshot {
  return buildSnapshot(
    { ...policies(yaml), registries: [sidecars(workloads)] },
    previous?.options ?? { ...MESH_DEFAULTS, ...options },
    previous,
  );
}
