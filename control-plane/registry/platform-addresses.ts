import { canonicalAddress } from './address-pool.ts';
import type { ProvidedService, RegistryProblem } from './registry.ts';
import type { EntryService } from './service-entries.ts';

/**
 * Virtual addresses of the services that a platform made (ClusterIPs). The platform gave each to one service, and whoever
 * may write a ServiceEntry anywhere must not draw the traffic of that service to himself by writing its address (A6.9).
 */
export class PlatformAddresses {
  /** Address → origin of its service. */
  readonly #owners = new Map<string, string>();

  constructor(provided: Iterable<ProvidedService>) {
    for (const { service } of provided) {
      for (const address of service.addresses) {
        this.#owners.set(canonicalAddress(address), service.origin);
      }
    }
  }

  /** The service without the addresses that are not its own; each of those is a problem to be told. */
  without(service: EntryService, problems: RegistryProblem[]): EntryService {
    const { addresses, origin } = service;
    const own = addresses.filter((address) => {
      const owner = this.#owners.get(canonicalAddress(address));
      if (owner !== undefined) {
        problems.push({
          subject: origin,
          message: `address ${address} is that of ${owner}, which alone has it`,
        });
      }
      return owner === undefined;
    });
    return own.length === addresses.length ? service : { ...service, addresses: own };
  }
}
