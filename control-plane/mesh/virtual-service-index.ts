import type { Resource } from '../kinds/resource.ts';
import type { HTTPRoute, VirtualServiceSpec } from '../kinds/virtual-service.ts';
import { byAge } from '../registry/age.ts';
import { expandHost, HostIndex } from '../registry/host-name.ts';
import { isVisible } from '../registry/visibility.ts';
import type { MeshWarning } from './mesh-warning.ts';

/** Reserved name of all sidecars in `gateways` (TM-05). */
const MESH_GATEWAY = 'mesh';

export interface MeshVirtualService {
  readonly resource: Resource<VirtualServiceSpec>;
  /** Short names expanded (TM-07). */
  readonly hosts: readonly string[];
  /** Without rules that hold for gateways only. */
  readonly http: readonly HTTPRoute[];
}

/** The VirtualServices that hold for sidecars, by host. */
export class VirtualServiceIndex {
  /** Oldest first. */
  readonly all: readonly MeshVirtualService[];
  readonly warnings: readonly MeshWarning[];
  /** Changes whenever an object does. */
  readonly version: string;
  readonly #byHost = new HostIndex<MeshVirtualService>();

  constructor(resources: readonly Resource<VirtualServiceSpec>[], domain: string) {
    const ordered = [...resources].sort(byAge);
    this.all = ordered.filter(holdsForSidecars).map((resource) => ({
      resource,
      hosts: resource.spec.hosts.map((host) =>
        expandHost(host, resource.metadata.namespace, domain),
      ),
      http: resource.spec.http.flatMap(meshRule),
    }));
    for (const each of this.all) for (const host of each.hosts) this.#byHost.add(host, each);
    this.version = ordered
      .map(({ metadata }) => `${metadata.namespace}/${metadata.name}@${metadata.resourceVersion}`)
      .join(' ');
    this.warnings = this.#conflicts();
  }

  /** For `host` as a proxy of `namespace` sees it: exact before wildcard, of several the oldest (TM-25). */
  find(host: string, namespace: string): MeshVirtualService | undefined {
    return this.#byHost.find(host, ({ resource }) =>
      isVisible(resource.spec.exportTo, resource.metadata.namespace, namespace),
    );
  }

  /** Hosts that VirtualServices name, each with its VirtualService, for a proxy of `namespace`. */
  *visibleHosts(namespace: string): IterableIterator<readonly [string, MeshVirtualService]> {
    for (const [host, candidates] of this.#byHost.entries()) {
      const found = candidates.find(({ resource }) =>
        isVisible(resource.spec.exportTo, resource.metadata.namespace, namespace),
      );
      if (found !== undefined) yield [host, found];
    }
  }

  #conflicts(): MeshWarning[] {
    const warnings: MeshWarning[] = [];
    for (const [host, candidates] of this.#byHost.entries()) {
      const [oldest, ...others] = candidates.filter(({ resource }) =>
        resource.spec.exportTo.some((target) => target === '*'),
      );
      for (const { resource } of others) {
        if (resource === oldest!.resource) continue;
        warnings.push({
          code: 'IST0109',
          kind: 'VirtualService',
          namespace: resource.metadata.namespace,
          name: resource.metadata.name,
          message: `host ${host} is also routed by the older VirtualService ${oldest!.resource.metadata.namespace}/${oldest!.resource.metadata.name}; sidecars use that one alone`,
        });
      }
    }
    return warnings;
  }
}

function holdsForSidecars({ spec }: Resource<VirtualServiceSpec>): boolean {
  return spec.gateways.length === 0 || spec.gateways.includes(MESH_GATEWAY);
}

/** The rule without matches for gateways; gone where only such matches were there. */
function meshRule(rule: HTTPRoute): HTTPRoute[] {
  if (rule.match.length === 0) return [rule];
  const match = rule.match.filter(
    ({ gateways }) => gateways.length === 0 || gateways.includes(MESH_GATEWAY),
  );
  return match.length === 0 ? [] : [match.length === rule.match.length ? rule : { ...rule, match }];
}
