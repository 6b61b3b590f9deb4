import { networkInterfaces } from 'node:os';

/** Where a redirecting sidecar calls its app from; the rules leave these addresses alone. */
export const INBOUND_SOURCES: readonly string[] = ['127.0.0.6', '::6'];

/**
 * A warning where IPv6 connections to the app could not be made, else ''. All of 127.0.0.0/8 can be bound by anybody,
 * but of IPv6 `::1` alone: as in Istio, whoever writes the rules adds `::6/128` to `lo`. `instanceIps`: the addresses
 * of this host, comma-separated.
 */
export function missingInboundSource(
  instanceIps: string,
  interfaces: ReturnType<typeof networkInterfaces> = networkInterfaces(),
): string {
  if (!instanceIps.includes(':')) return '';
  const all = Object.values(interfaces).flatMap((addresses) => addresses ?? []);
  if (all.some(({ address }) => address === INBOUND_SOURCES[1])) return '';
  return (
    'IPv6 connections to the app will fail: the sidecar makes them from ::6, which no interface here has; ' +
    'weft redirect adds it (ip -6 address add ::6/128 dev lo)'
  );
}
