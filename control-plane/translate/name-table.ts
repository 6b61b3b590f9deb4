import { isIP, isIPv4, isIPv6 } from 'node:net';
import { NameTable, NameTable_NameInfo } from '../../proto/gen/istio/networking/nds/v1/nds.ts';
import type { MeshSnapshot } from '../mesh/snapshot.ts';
import { isPoolAddress } from '../registry/address-pool.ts';
import { compare } from '../registry/age.ts';
import { clusterLocalName } from '../registry/host-name.ts';
import type { Endpoint, Service } from '../registry/registry.ts';
import type { ProxyView } from './proxy-view.ts';

/** Address families that a proxy's host has: an address of another one would only cost its apps a failed attempt. */
export interface NameFamilies {
  readonly v4: boolean;
  readonly v6: boolean;
}

/** Of one host; more is no answer that a client reads. */
const ADDRESSES_MAX = 256;

/** IPv4 where the proxy does not say what it has. */
export function nameFamilies({ addresses }: ProxyView): NameFamilies {
  const v6 = addresses.some((address) => isIPv6(address));
  return { v4: !v6 || addresses.some((address) => isIPv4(address)), v6 };
}

/**
 * The names that proxies of `namespace` answer their apps by themselves (DS-05), each with the addresses that lead to
 * the service: its virtual addresses; without any the endpoints themselves, as for a headless service. A host that has
 * neither (resolution DNS or NONE, a CIDR) is left to the name server that the app would have asked.
 */
export function nameTable(
  { directory, options }: MeshSnapshot,
  namespace: string,
  families: NameFamilies,
): NameTable {
  const table = new Map<string, NameTable_NameInfo>();
  const services = [...directory.visibleTo(namespace)].sort((a, b) => compare(a.host, b.host));
  for (const service of services) {
    const ips = addressesOf(service, directory.endpoints(service), families);
    if (ips.length === 0) continue;
    const local = clusterLocalName(service.host, options.domain);
    const info = NameTable_NameInfo.create({
      ips,
      // What tells Istio's agents that the short names hold too.
      registry: local === null ? 'External' : 'Kubernetes',
      shortname: local?.name ?? '',
      namespace: local?.namespace ?? '',
      ports: service.ports.map(({ name, number, protocol }) => ({
        name,
        number,
        protocol: protocol === 'udp' ? 'udp' : 'tcp',
      })),
    });
    table.set(service.host, info);
  }
  return NameTable.create({ table });
}

function addressesOf(
  service: Service,
  endpoints: readonly Endpoint[],
  families: NameFamilies,
): string[] {
  if (service.addresses.length > 0) {
    const own = service.addresses.filter((address) => isIP(address) !== 0);
    // Somebody wrote these addresses; those that were allocated exist twice, and the proxy gets what it can use.
    return own.filter((address) => !isPoolAddress(address) || hasFamily(address, families));
  }
  if (service.resolution === 'DNS') return [];
  const literal = endpoints.filter(({ address }) => isIP(address) !== 0);
  const healthy = literal.filter(({ health }) => health === 'HEALTHY');
  const used = healthy.length > 0 ? healthy : literal;
  return [...new Set(used.map(({ address }) => address))].sort(compare).slice(0, ADDRESSES_MAX);
}

function hasFamily(address: string, { v4, v6 }: NameFamilies): boolean {
  return isIPv4(address) ? v4 : v6;
}
