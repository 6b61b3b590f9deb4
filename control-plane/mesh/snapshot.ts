import type { DestinationRuleSpec } from '../kinds/destination-rule.ts';
import type { PeerAuthenticationSpec } from '../kinds/peer-authentication.ts';
import type { Resource } from '../kinds/resource.ts';
import type { VirtualServiceSpec } from '../kinds/virtual-service.ts';
import type { RegistryProblem } from '../registry/registry.ts';
import {
  buildDirectory,
  type DirectoryInputs,
  type ServiceDirectory,
} from '../registry/service-directory.ts';
import { DestinationRuleIndex } from './destination-rule-index.ts';
import type { MeshOptions } from './mesh-options.ts';
import type { MeshWarning } from './mesh-warning.ts';
import { PeerAuthenticationIndex } from './peer-authentication-index.ts';
import { referenceWarnings } from './reference-check.ts';
import { VirtualServiceIndex } from './virtual-service-index.ts';

/** What a snapshot is built from: policy objects with defaults applied, and what the registries know. */
export interface SnapshotInputs extends DirectoryInputs {
  readonly virtualServices: readonly Resource<VirtualServiceSpec>[];
  readonly destinationRules: readonly Resource<DestinationRuleSpec>[];
  readonly peerAuthentications: readonly Resource<PeerAuthenticationSpec>[];
}

/** The whole mesh at one moment: immutable, replaced whole. */
export interface MeshSnapshot {
  /** Counts snapshots, from 1. */
  readonly sequence: number;
  readonly options: MeshOptions;
  readonly directory: ServiceDirectory;
  readonly virtualServices: VirtualServiceIndex;
  readonly destinationRules: DestinationRuleIndex;
  readonly peerAuthentications: PeerAuthenticationIndex;
  readonly warnings: readonly MeshWarning[];
  readonly problems: readonly RegistryProblem[];
}

/** Parts that did not change are the very objects of `previous`. */
export function buildSnapshot(
  inputs: SnapshotInputs,
  options: MeshOptions,
  previous?: MeshSnapshot,
): MeshSnapshot {
  const { domain, rootNamespace } = options;
  const directory = buildDirectory(inputs, domain, previous?.directory);
  const virtualServices = kept(
    new VirtualServiceIndex(inputs.virtualServices, domain),
    previous?.virtualServices,
  );
  const destinationRules = kept(
    new DestinationRuleIndex(inputs.destinationRules, domain, rootNamespace),
    previous?.destinationRules,
  );
  const peerAuthentications = kept(
    new PeerAuthenticationIndex(inputs.peerAuthentications, rootNamespace),
    previous?.peerAuthentications,
  );
  return {
    sequence: (previous?.sequence ?? 0) + 1,
    options,
    directory,
    virtualServices,
    destinationRules,
    peerAuthentications,
    warnings: [
      ...virtualServices.warnings,
      ...referenceWarnings(directory, virtualServices, destinationRules, domain),
    ],
    problems: directory.problems,
  };
}

/** `version` holds every resourceVersion: equal versions, equal content. */
function kept<T extends { readonly version: string }>(next: T, previous: T | undefined): T {
  return previous !== undefined && previous.version === next.version ? previous : next;
}

/** What lies between two snapshots, as far as pushing cares (OP-02). */
export type SnapshotChange =
  | { readonly kind: 'none' }
  /** Only endpoints of these services changed: EDS alone is pushed. */
  | { readonly kind: 'endpoints'; readonly hosts: ReadonlySet<string> }
  | { readonly kind: 'configuration' };

export function changeBetween(previous: MeshSnapshot, next: MeshSnapshot): SnapshotChange {
  if (
    previous.options !== next.options ||
    previous.virtualServices !== next.virtualServices ||
    previous.destinationRules !== next.destinationRules ||
    previous.peerAuthentications !== next.peerAuthentications ||
    previous.directory.services.length !== next.directory.services.length
  ) {
    return { kind: 'configuration' };
  }
  const hosts = new Set<string>();
  for (let at = 0; at < next.directory.services.length; at++) {
    const service = next.directory.services[at]!;
    if (service !== previous.directory.services[at]) return { kind: 'configuration' };
    if (next.directory.endpoints(service) === previous.directory.endpoints(service)) continue;
    // Their endpoints stand in the cluster itself.
    if (service.resolution === 'DNS') return { kind: 'configuration' };
    hosts.add(service.host);
  }
  return hosts.size === 0 ? { kind: 'none' } : { kind: 'endpoints', hosts };
}
