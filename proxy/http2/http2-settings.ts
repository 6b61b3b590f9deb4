import { DEFAULT_HTTP2_OPTIONS, type Http2Options } from './connection-options.ts';

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

export const DEFAULT_HTTP2_SETTINGS: Http2Settings = Object.freeze({
  streamsMax: 0,
  streamWindowBytes: DEFAULT_HTTP2_OPTIONS.streamWindowBytes,
  connectionWindowBytes: DEFAULT_HTTP2_OPTIONS.connectionWindowBytes,
  extendedConnect: false,
  keepaliveIntervalMs: 0,
  keepaliveTimeoutMs: 0,
});

type Configured = Pick<Http2Options, 'streamWindowBytes' | 'connectionWindowBytes'> & {
  readonly streamsMax?: number;
};

/** What the settings say of the options of either role; the role's own limit of streams stands where they say none. */
export function configuredOptions(settings: Http2Settings): Configured {
  const { streamsMax, streamWindowBytes, connectionWindowBytes } = settings;
  const windows = { streamWindowBytes, connectionWindowBytes };
  return streamsMax === 0 ? windows : { ...windows, streamsMax };
}
