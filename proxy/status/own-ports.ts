/** Ports of the sidecar, with what they are: asking one of them for the app would lead back here, or to its keys. */
export type OwnPorts = ReadonlyMap<number, string>;

/** Ports that a sidecar has in every redirected pod, as Istio reserves them. */
const RESERVED: OwnPorts = new Map([
  [15_000, 'the admin port of the sidecar'],
  [15_001, 'outbound capture'],
  [15_004, 'the debug port of the sidecar'],
  [15_006, 'inbound capture'],
  [15_008, 'the HBONE tunnel'],
  [15_020, 'the status port of the sidecar, which is this page itself'],
  [15_021, 'the readiness port of the sidecar'],
  [15_053, 'the DNS proxy of the sidecar'],
  [15_090, "the sidecar's own metrics, which are merged already"],
]);

/** The ports that are bound, and in redirect mode all that are reserved. */
export function ownPorts(mode: string, bound: Iterable<readonly [number, string]>): OwnPorts {
  return new Map([...(mode === 'redirect' ? RESERVED : []), ...bound]);
}

/** Why a port of the app cannot be this one; '' = it can. */
export function refusalOf(ports: OwnPorts, port: number): string {
  const what = ports.get(port);
  return what === undefined ? '' : `it is ${what}`;
}
