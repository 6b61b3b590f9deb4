import type { TlsFiles } from '../tls-files.ts';

/** What a proxy is asked to do, in words that every proxy's configuration can be made of. */
export interface Hop {
  readonly downstream: Side;
  readonly upstream: Side;
  /** On 127.0.0.1. */
  readonly backendPort: number;
  /** One line a request in a file. */
  readonly accessLog: boolean;
  /** Retries armed as Istio arms them; no load of the benchmark needs one. */
  readonly retries: boolean;
  /** Istio's metrics, which Weft counts where a listener says which way it faces; a stock Envoy has no filter for them. */
  readonly metrics: boolean;
  /** One rule of an ALLOW policy, which every request of the benchmark fits. */
  readonly authorization: boolean;
  /** Part of the requests whose spans are recorded; null = no trace context at all. Envoy and Weft only. */
  readonly tracingPercent: number | null;
  /** Connections that clients may hold; null = as many as the proxy takes by itself. Envoy and Weft only. */
  readonly connectionsMax: number | null;
}

/** What a mesh has switched on for every request, the access log apart. */
export const MESH_FEATURES = {
  accessLog: false,
  retries: true,
  metrics: true,
  authorization: true,
  tracingPercent: 1,
  connectionsMax: null,
} as const;

export interface Side {
  readonly protocol: 'http1' | 'http2' | 'tcp';
  /** Null: in clear text (HTTP/2 with prior knowledge). Downstream `mutual` asks for the client's certificate. */
  readonly tls: { readonly files: TlsFiles; readonly mutual: boolean } | null;
}

export const PLAIN_HTTP1: Side = { protocol: 'http1', tls: null };
export const PLAIN_HTTP2: Side = { protocol: 'http2', tls: null };
export const PLAIN_TCP: Side = { protocol: 'tcp', tls: null };

/** A proxy that takes connections. */
export interface RunningProxy {
  readonly subject: string;
  readonly port: number;
  readonly pids: readonly number[];
}

/** How long a connection stays that nobody uses: beyond the length of any case. */
export const IDLE_SECONDS = 600;
