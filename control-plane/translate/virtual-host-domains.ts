import { clusterLocalName } from '../registry/host-name.ts';
import type { Service } from '../registry/registry.ts';
import { hostAndPort } from './names.ts';

/**
 * The names under which a caller of `namespace` may mean `host` (TM-07): the host itself first; for a service of the
 * mesh `name.ns.svc`, `name.ns` and, from its own namespace, `name`; then its virtual addresses.
 */
export function hostAliases(
  host: string,
  addresses: Service['addresses'],
  namespace: string,
  domain: string,
): readonly string[] {
  const aliases = [host];
  const local = clusterLocalName(host, domain);
  if (local !== null) {
    aliases.push(`${local.name}.${local.namespace}.svc`, `${local.name}.${local.namespace}`);
    if (local.namespace === namespace) aliases.push(local.name);
  }
  for (const address of addresses) if (!address.includes('/')) aliases.push(address);
  return aliases;
}

/** Each alias with its port, and without where the port needs no saying. */
export function domainsOf(
  aliases: readonly string[],
  port: number,
  bare: boolean,
): readonly string[] {
  const domains: string[] = [];
  for (const alias of aliases) {
    if (bare) domains.push(alias.includes(':') ? `[${alias}]` : alias);
    // A lone `*` with a port would be `*:80`, a suffix that takes every host of that port: the fallback's business.
    if (alias !== '*') domains.push(hostAndPort(alias, port));
  }
  return domains;
}
