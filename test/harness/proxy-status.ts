import type { ControlPlane } from './control-plane.ts';

/** What `weft proxy-status` prints of one type of one proxy. */
export interface TypeStatus {
  readonly type: string;
  readonly status: string;
  readonly error: string;
  readonly resources: number;
}

/** The types that a proxy subscribes to; empty where it is not connected. */
export async function proxyTypes(
  controlPlane: ControlPlane,
  nodeId: string,
): Promise<readonly TypeStatus[]> {
  const response = await fetch(`${controlPlane.api}/weft/v1/proxies`);
  const { items } = (await response.json()) as {
    items: { id: string; types: TypeStatus[] }[];
  };
  return items.find(({ id }) => id === nodeId)?.types ?? [];
}
