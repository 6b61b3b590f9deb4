import type { ProxyStatus } from '../control-plane/xds/proxy-status.ts';
import type { ApiClient } from './api-client.ts';
import { CommandError } from './exit-code.ts';

export async function listProxies(api: ApiClient): Promise<readonly ProxyStatus[]> {
  const { items } = await api.request<{ items: ProxyStatus[] }>('GET', '/weft/v1/proxies');
  return items;
}

/** The one proxy that `name` means: its name, its name without namespace, or its id. */
export function findProxy(proxies: readonly ProxyStatus[], name: string): ProxyStatus {
  const exact = proxies.filter((proxy) => proxy.id === name || proxy.name === name);
  const found =
    exact.length > 0 ? exact : proxies.filter((proxy) => proxy.name.split('.')[0] === name);
  if (found.length === 1) return found[0]!;
  const known = proxies.map((proxy) => proxy.name).join(', ');
  if (found.length > 1) {
    const ids = found.map((proxy) => proxy.id).join(', ');
    throw new CommandError(`${name} means more than one proxy`, `name one by its id: ${ids}`);
  }
  throw new CommandError(
    `no proxy ${name} is connected`,
    known === '' ? 'none is connected at all' : `connected: ${known}`,
  );
}
