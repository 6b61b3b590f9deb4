import type { HeaderBlock } from './header-block.ts';
import type { RequestHead, ResponseHead } from './message.ts';

/**
 * One request/response exchange, as both codecs and both roles show it. Calls go one way each:
 * a *sink* is called by the codec when bytes have become events; a *stream* is called by its user.
 * Nothing here throws. After `onReset` or after both halves have ended the codec calls nothing more.
 * In the server role that is also so once the response has ended before its request: the rest of the
 * request is thrown away, and HTTP/1.1 closes the connection unless that rest was at hand. In the
 * client role a response may end before its request: the stream is over then, later writes are
 * dropped, and the connection is not reusable (D23). Calls on a stream that is over do nothing.
 *
 * Tunnels: a request with `upgrade` set begins with `endStream` false and brings no data before the
 * response. If the response switches protocols, data flows both ways and `endStream` is a half-close;
 * if not, the codec ends the request half itself (`onData` with an empty chunk and `endStream`).
 *
 * Back-pressure: `writeData` answers false when the connection holds more than its high watermark;
 * the writer then waits for `onDrain`. `pause` stops `onData` (a chunk in hand may still arrive).
 */

/** Why a stream ended early. Kinds are those of Envoy's StreamResetReason. */
export type ResetReason =
  /** The connection ended or was lost. */
  | 'connectionTermination'
  /** The peer reset this stream only (HTTP/2), or cut its body short. */
  | 'remoteReset'
  /** HTTP/2 REFUSED_STREAM: the peer has not processed the request. */
  | 'remoteRefused'
  /** This side gave the stream up. */
  | 'localReset'
  /** The peer broke the protocol. */
  | 'protocolError';

/** What both roles are told about the incoming body. Chunks may be kept: they are never reused. */
export interface BodySink {
  /** `endStream`: no trailers and no more data follow. An empty last chunk is allowed. */
  onData(chunk: Buffer, endStream: boolean): void;
  /** Ends the incoming half. */
  onTrailers(trailers: HeaderBlock): void;
  /** The stream is over; `detail` is for the log. Called at most once, never after a clean end of both halves. */
  onReset(reason: ResetReason, detail: string): void;
  /** After `writeData` answered false: writing may go on. */
  onDrain(): void;
}

/** What the user of either role may do with a stream. */
export interface Stream {
  /** False: wait for `onDrain` before the next chunk (this chunk is taken all the same). */
  writeData(chunk: Buffer, endStream: boolean): boolean;
  /** Ends the outgoing half. Dropped where the framing cannot carry trailers. */
  writeTrailers(trailers: HeaderBlock): void;
  /** Gives the stream up. HTTP/1.1 closes its connection; `onReset` is not called back. */
  reset(reason: ResetReason): void;
  pause(): void;
  resume(): void;
}

/** Server role: a request that arrived. */
export interface ServerStream extends Stream {
  /** 1xx but 101, e.g. 100 Continue. May be called several times, before `writeHead`. */
  writeInformational(head: ResponseHead): void;
  /**
   * Final status and headers, once. `head.upgrade` (101 or 2xx to CONNECT) turns the stream into a
   * tunnel: from then on data passes both ways uninterpreted and `endStream` is a half-close.
   */
  writeHead(head: ResponseHead, endStream: boolean): void;
  /**
   * Work outside of the stream has begun for it (a request to an upstream): even if the client resets the
   * stream, it counts against the limit of concurrent streams until `releaseSlot`. HTTP/1.1: nothing.
   */
  holdSlot(): void;
  /** That work has ended; once for each `holdSlot`. */
  releaseSlot(): void;
}

/** Answers for one server connection. */
export interface ServerHandler {
  /**
   * A request head has arrived; the sink returned gets the rest. `endStream`: no body. The handler
   * may answer at once. `Expect: 100-continue` is left in the headers; whoever answers decides.
   */
  onRequest(stream: ServerStream, head: RequestHead, endStream: boolean): BodySink;
  /**
   * The peer broke the protocol where no stream is open; the codec has already answered
   * (`status`, e.g. 400, 426, 431) and is closing. For the access log (flag DPE) and counters.
   */
  onProtocolError(status: number, detail: string): void;
}

/** What the user of a client stream is told. */
export interface ResponseSink extends BodySink {
  /** 1xx but 101. */
  onInformational(head: ResponseHead): void;
  onResponse(head: ResponseHead, endStream: boolean): void;
}

/** Client role: a request being sent. Its head has been given to `ClientConnection.request`. */
export type ClientStream = Stream;

/** One server-role connection; owns no socket, is fed by its transport's owner. */
export interface ServerConnection {
  /** Takes bytes from the peer. The codec may pause its transport. */
  receive(bytes: Buffer): void;
  /** The peer half-closed. */
  receiveEnd(): void;
  /** The transport is gone: every open stream gets `onReset('connectionTermination')`. */
  close(detail: string): void;
  /** The transport went below its low watermark. */
  onTransportDrain(): void;
  /** Graceful end: `connection: close` on the next response / GOAWAY; idle connections close now. */
  drain(): void;
  /** Requests under way. */
  readonly activeStreams: number;
}

/** One client-role connection. */
export interface ClientConnection {
  /** How many more requests can start now: HTTP/1.1 0 or 1, HTTP/2 up to the peer's limit. */
  readonly capacity: number;
  readonly activeStreams: number;
  /** False once the connection takes no new request (closing, GOAWAY, `connection: close`, broken). */
  readonly reusable: boolean;
  /** The server broke the protocol of the connection, or in HTTP/1.1 of its response: it has ended for that. */
  readonly violated: boolean;
  /** Starts a request; only where `capacity` > 0. The codec adds `host` and framing. */
  request(head: RequestHead, endStream: boolean, sink: ResponseSink): ClientStream;
  receive(bytes: Buffer): void;
  receiveEnd(): void;
  close(detail: string): void;
  onTransportDrain(): void;
}

/** Tells the owner of a client connection (the pool) about changes. */
export interface ClientConnectionListener {
  /** A stream ended and the connection can take another one, or has become unusable (`reusable`). */
  onStreamEnd(connection: ClientConnection): void;
}
