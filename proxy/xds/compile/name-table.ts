import { isIPv4, isIPv6 } from 'node:net';
import type { NameTable } from '../../../proto/gen/istio/networking/nds/v1/nds.ts';
import type { NamedHost, NameTableConfig } from '../../dns/name-table-config.ts';
import { type Compiled, Problems } from './problems.ts';

/** Hosts of one table, and addresses of one host: a mesh has thousands, and tens. */
const HOSTS_MAX = 200_000;
const ADDRESSES_MAX = 4_096;
/** A name that fits into a DNS message (RFC 1035 §2.3.4), a wildcard among them. */
const HOST = /^(?:\*\.)?(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}$/;
const HOST_CHARS_MAX = 253;

/** `istio.networking.nds.v1.NameTable`. A host without an address says nothing and is left out. */
export function compileNameTable(message: NameTable, version: string): Compiled<NameTableConfig> {
  const problems = new Problems();
  const hosts = new Map<string, NamedHost>();
  if (message.table.size > HOSTS_MAX) {
    problems.add(['table'], `has ${message.table.size} hosts; at most ${HOSTS_MAX} are taken`);
    return problems.finish({ version, hosts });
  }
  for (const [key, info] of message.table) {
    const host = key.toLowerCase().replace(/\.$/, '');
    const path = ['table', key];
    if (host.length > HOST_CHARS_MAX || !HOST.test(host)) {
      problems.add(path, 'is no host name that DNS can carry');
      continue;
    }
    if (info.ips.length > ADDRESSES_MAX) {
      problems.add([...path, 'ips'], `are ${info.ips.length}; at most ${ADDRESSES_MAX} are taken`);
      continue;
    }
    info.ips.forEach((address, index) => {
      if (isIPv4(address) || isIPv6(address)) return;
      problems.add([...path, 'ips', index], `"${address}" is no IP address`);
    });
    const ips = [...new Set(info.ips)];
    if (ips.length === 0) continue;
    hosts.set(host, {
      host,
      v4: ips.filter((address) => isIPv4(address)),
      v6: ips.filter((address) => isIPv6(address)),
      // Istio's own tables carry them for this registry only.
      shortname: info.registry === 'Kubernetes' ? info.shortname.toLowerCase() : '',
      namespace: info.namespace,
      ports: info.ports.map(({ name, protocol, number }) => ({
        name: name.toLowerCase(),
        protocol: protocol.toLowerCase(),
        number,
      })),
    });
  }
  return problems.finish({ version, hosts });
}
