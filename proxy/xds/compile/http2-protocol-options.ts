import type { Http2ProtocolOptions } from '../../../proto/gen/envoy/config/core/v3/protocol.ts';
import { DEFAULT_HTTP2_SETTINGS, type Http2Settings } from '../../http2/http2-settings.ts';
import type { MessageReader } from './message-reader.ts';

/** RFC 9113 §6.5.2: what a window starts with when nobody says anything, and Envoy's least. */
const WINDOW_BYTES_MIN = 65_535;
const WINDOW_BYTES_MAX = 0x7fff_ffff;
/** Envoy's bounds of `max_concurrent_streams`; half of them: a stream identifier counts by two. */
const STREAMS_MAX = 0x3fff_ffff;

/** `envoy.config.core.v3.Http2ProtocolOptions` of either role. */
export function compileHttp2Options(
  reader: MessageReader<Http2ProtocolOptions> | undefined,
): Http2Settings {
  if (reader === undefined) return DEFAULT_HTTP2_SETTINGS;
  const { streamWindowBytes, connectionWindowBytes } = DEFAULT_HTTP2_SETTINGS;
  const window = { min: WINDOW_BYTES_MIN, max: WINDOW_BYTES_MAX };
  return {
    streamsMax: reader.integer('maxConcurrentStreams', { min: 1, max: STREAMS_MAX, fallback: 0 }),
    streamWindowBytes: reader.integer('initialStreamWindowSize', {
      ...window,
      fallback: streamWindowBytes,
    }),
    connectionWindowBytes: reader.integer('initialConnectionWindowSize', {
      ...window,
      fallback: connectionWindowBytes,
    }),
    extendedConnect: reader.bool('allowConnect'),
    ...compileKeepalive(reader),
  };
}

type Keepalive = Pick<Http2Settings, 'keepaliveIntervalMs' | 'keepaliveTimeoutMs'>;

function compileKeepalive(reader: MessageReader<Http2ProtocolOptions>): Keepalive {
  const keepalive = reader.child('connectionKeepalive');
  if (keepalive === undefined) return { keepaliveIntervalMs: 0, keepaliveTimeoutMs: 0 };
  const timeoutMs = keepalive.durationMs('timeout', 0, 1);
  if (timeoutMs === 0) keepalive.problem('timeout', 'must be set');
  return {
    keepaliveIntervalMs: keepalive.durationMs('interval', 0, 1),
    keepaliveTimeoutMs: timeoutMs,
  };
}
