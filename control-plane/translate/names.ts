import { isIPv6 } from 'node:net';

/** Names on the wire, as Istio's (docs/architecture.md). */

export const PASSTHROUGH_CLUSTER = 'PassthroughCluster';
export const BLACK_HOLE_CLUSTER = 'BlackHoleCluster';
export const INBOUND_PASSTHROUGH_CLUSTER = 'InboundPassthroughCluster';
export const VIRTUAL_OUTBOUND = 'virtualOutbound';
export const VIRTUAL_INBOUND = 'virtualInbound';
/** Route configuration of the explicit-proxy listener. */
export const HTTP_PROXY_ROUTE = 'http_proxy';

export function outboundCluster(port: number, subset: string, host: string): string {
  return `outbound|${port}|${subset}|${host}`;
}

/** Cluster and route configuration of a port of the app. */
export function inboundName(port: number): string {
  return `inbound|${port}||`;
}

/** Server name of mesh TLS: tells an east-west gateway where to, and whoever reads packets what they are. */
export function meshServerName(port: number, subset: string, host: string): string {
  return `outbound_.${port}_.${subset}_.${host}`;
}

/** `host:port` with brackets where the host is an IPv6 address. */
export function hostAndPort(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Secrets that the sidecar itself holds. */
export const OWN_SECRET = 'default';
export const ROOT_SECRET = 'ROOTCA';

/** ALPN between sidecars: the protocol inside, and that the TLS around it is the mesh's (PR-11). */
export const MESH_HTTP1_ALPN: readonly string[] = ['istio-http/1.1'];
/**
 * Between Weft's own sidecars requests of any version share HTTP/2 connections (PR-06). Whoever does not know the name
 * agrees on one of the others.
 */
export const SHARED_HTTP2_ALPN = 'weft-h2';
export const MESH_HTTP2_ALPN: readonly string[] = ['istio-h2'];
export const MESH_TCP_ALPN: readonly string[] = ['istio'];
/** What an inbound port takes for the mesh's TLS. */
export const MESH_HTTP_ALPNS: readonly string[] = ['istio-h2', 'istio-http/1.1', 'istio-http/1.0'];
export const MESH_TCP_ALPNS: readonly string[] = ['istio-peer-exchange', 'istio'];
/** What http_inspector reports. */
export const PLAIN_HTTP_ALPNS: readonly string[] = ['http/1.0', 'http/1.1', 'h2c'];
