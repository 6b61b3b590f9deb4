import type { ApiClient } from './api-client.ts';
import { CommandError } from './exit-code.ts';

/** One connected sidecar as `GET /weft/v1/proxies` shows it. */
export interface ProxyEntry {
  /** `node.id`. */
  readonly id: string;
  /** `<workload>.<namespace>`. */
  readonly name: string;
  readonly cluster: string;
  readonly controlPlane: string;
  readonly version: string;
  /** RFC 3339. */
  readonly connectedSince: string;
  readonly adminAddress: string;
  readonly types: readonly ProxyTypeStatus[];
}

export interface ProxyTypeStatus {
  /** `CDS`, `EDS`, `LDS`, `RDS`, … */
  readonly type: string;
  readonly status: 'SYNCED' | 'NOT SENT' | 'STALE' | 'ERROR';
  /** The NACK's text, or ''. */
  readonly error: string;
  readonly resources: number;
}

export async function listProxies(api: ApiClient): Promise<readonly ProxyEntry[]> {
  const { items } = await api.request<{ items: ProxyEntry[] }>('GET', '/weft/v1/proxies');
  return items;
}

/** The one proxy that `name` means: its name, its name without namespace, or its id. */
export function findProxy(proxies: readonly ProxyEntry[], name: string): ProxyEntry {
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
