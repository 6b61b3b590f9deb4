import type { ServerConnection, ServerHandler } from '../http/stream.ts';
import type { CollectingTransport } from '../http/transport.ts';
import { Http1ServerConnection } from '../http1/server-connection.ts';
import type { Http2Events } from '../http2/connection-options.ts';
import { Http2ServerConnection } from '../http2/server-connection.ts';
import type { HttpConnectionManager } from './http-connection-manager.ts';

/** The server role of either codec, as the connection around it needs it. */
export interface DownstreamCodec extends ServerConnection {
  /** `idle` and `head` (a request head has begun) have timers of the connection; in all others streams have. */
  readonly state: 'idle' | 'head' | 'body' | 'response' | 'tunnel' | 'active' | 'closed';
  /** At a timeout in state `idle` or `head`: ends the connection, with `status` where HTTP/1.1 can say it. */
  refuse(status: number): void;
}

export function http1Codec(
  manager: HttpConnectionManager,
  transport: CollectingTransport,
  handler: ServerHandler,
  tls: boolean,
): DownstreamCodec {
  const options = tls ? manager.tlsCodecOptions : manager.plainCodecOptions;
  return new Http1ServerConnection(transport, handler, options);
}

export function http2Codec(
  manager: HttpConnectionManager,
  transport: CollectingTransport,
  handler: ServerHandler,
  events: Http2Events,
): Http2ServerConnection {
  return new Http2ServerConnection(transport, handler, manager.http2CodecOptions, events);
}

/** The preface of HTTP/2 begins with a method that HTTP/1 does not have (RFC 9113 §3.4). */
const PREFACE_START = 'PRI ';

/**
 * Whether the first bytes of a connection are those of HTTP/2 (`codec_type: AUTO`). `undecided`: they are too few
 * to say, and all of them could be.
 */
export function detectPreface(bytes: Uint8Array): 'http1' | 'http2' | 'undecided' {
  const length = Math.min(bytes.length, PREFACE_START.length);
  for (let at = 0; at < length; at++) {
    if (bytes[at] !== PREFACE_START.charCodeAt(at)) return 'http1';
  }
  return length < PREFACE_START.length ? 'undecided' : 'http2';
}
