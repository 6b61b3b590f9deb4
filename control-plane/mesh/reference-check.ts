import type { Destination } from '../kinds/virtual-service.ts';
import { expandHost } from '../registry/host-name.ts';
import type { ServiceDirectory } from '../registry/service-directory.ts';
import { selects } from '../registry/service-entries.ts';
import type { DestinationRuleIndex } from './destination-rule-index.ts';
import type { MeshWarning } from './mesh-warning.ts';
import type { MeshVirtualService, VirtualServiceIndex } from './virtual-service-index.ts';

/** More say nothing new, and a tenant must not fill the memory with them. */
const REFERENCE_WARNINGS_MAX = 1000;

/**
 * What policies name and nobody has: a destination without service (IST0101), without that subset (IST0101) or port,
 * a rule for an unknown host (IST0174), a subset that selects nobody (IST0173). Requests to such a destination get
 * 503 `NC`; services come and go, so nothing is refused.
 */
export function referenceWarnings(
  directory: ServiceDirectory,
  virtualServices: VirtualServiceIndex,
  destinationRules: DestinationRuleIndex,
  domain: string,
): readonly MeshWarning[] {
  const warnings: MeshWarning[] = [];
  for (const virtualService of virtualServices.all) {
    for (const rule of virtualService.http) {
      for (const { destination } of rule.route) {
        if (warnings.length >= REFERENCE_WARNINGS_MAX) return warnings;
        const message = destinationProblem(
          destination,
          virtualService,
          directory,
          destinationRules,
          domain,
        );
        if (message === null) continue;
        const { namespace, name } = virtualService.resource.metadata;
        warnings.push({ code: 'IST0101', kind: 'VirtualService', namespace, name, message });
      }
    }
  }
  for (const rule of destinationRules.all) {
    if (warnings.length >= REFERENCE_WARNINGS_MAX) return warnings;
    const service = directory.find(rule.host, rule.namespace);
    const [namespace, name] = rule.names[0]!.split('/') as [string, string];
    const about = { kind: 'DestinationRule', namespace, name } as const;
    if (service === undefined) {
      if (rule.host.startsWith('*')) continue;
      warnings.push({ ...about, code: 'IST0174', message: `no service is called ${rule.host}` });
      continue;
    }
    const endpoints = directory.endpoints(service);
    for (const subset of rule.subsets) {
      if (endpoints.some(({ labels }) => selects(subset.labels, labels))) continue;
      warnings.push({
        ...about,
        code: 'IST0173',
        message: `subset ${subset.name} selects no endpoint of ${rule.host}`,
      });
    }
  }
  return warnings;
}

function destinationProblem(
  destination: Destination,
  virtualService: MeshVirtualService,
  directory: ServiceDirectory,
  destinationRules: DestinationRuleIndex,
  domain: string,
): string | null {
  const { namespace } = virtualService.resource.metadata;
  const host = expandHost(destination.host, namespace, domain);
  const service = directory.find(host, namespace);
  if (service === undefined) return `destination ${host} is no known service`;
  const port = destination.port?.number;
  if (port !== undefined && !service.ports.some(({ number }) => number === port)) {
    return `destination ${host} has no port ${port}`;
  }
  if (destination.subset === undefined) return null;
  const rule = destinationRules.find(service, namespace);
  return rule?.subsets.some(({ name }) => name === destination.subset) === true
    ? null
    : `no DestinationRule defines subset ${destination.subset} of ${host}`;
}
