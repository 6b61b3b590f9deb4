/** What a configuration may say about HTTP/2 (`envoy.config.core.v3.Http2ProtocolOptions`). Built only by `xds/`. */
export interface Http2Settings {
  /** `max_concurrent_streams`: what a server allows, and what a client asks at most; 0 = the role's default. */
  readonly streamsMax: number;
  /** `initial_stream_window_size` in bytes, default 256 KiB; grows where the round trip asks for more. */
  readonly streamWindowBytes: number;
  /** `initial_connection_window_size` in bytes, default 4 MiB: what the window grows to by use. */
  readonly connectionWindowBytes: number;
  /** `allow_connect`: the server role takes extended CONNECT (RFC 8441), default false. */
  readonly extendedConnect: boolean;
  /** `connection_keepalive.interval`: milliseconds between PINGs, 0 = none. */
  readonly keepaliveIntervalMs: number;
  /** `connection_keepalive.timeout`: milliseconds for the answer. */
  readonly keepaliveTimeoutMs: number;
}

const KIB = 1024;

export const DEFAULT_HTTP2_SETTINGS: Http2Settings = Object.freeze({
  streamsMax: 0,
  streamWindowBytes: 256 * KIB,
  connectionWindowBytes: 4 * KIB * KIB,
  extendedConnect: false,
  keepaliveIntervalMs: 0,
  keepaliveTimeoutMs: 0,
});
