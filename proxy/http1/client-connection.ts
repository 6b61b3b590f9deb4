import type { HeaderBlock } from '../http/header-block.ts';
import { DEFAULT_HTTP_LIMITS, type HttpLimits } from '../http/limits.ts';
import type { RequestHead } from '../http/message.ts';
import { MESSAGE_SLABS } from '../http/slab.ts';
import type {
  ClientConnection,
  ClientConnectionListener,
  ClientStream,
  ResetReason,
  ResponseSink,
} from '../http/stream.ts';
import type { CollectingTransport } from '../http/transport.ts';
import { WriteBuffer } from '../http/write-buffer.ts';
import { BodyFraming, responseBodyFraming } from './body.ts';
import { BodyReader } from './body-reader.ts';
import { BodyWriter, WriteResult } from './body-writer.ts';
import type { ChunkedSink } from './chunked.ts';
import { HeadEncoder } from './encoder.ts';
import { FieldSection } from './field-section.ts';
import { HeadParser, ParseResult, SectionKind } from './head-parser.ts';
import { ResponseHeadReader } from './response-head.ts';
import {
  NO_VIOLATION,
  TOO_MANY_INFORMATIONAL,
  UNSOLICITED_BYTES,
  type Violation,
} from './violation.ts';

/** Settings of the client role. Built by `http1ClientOptions`, frozen, shared by a cluster. */
export interface Http1ClientOptions {
  readonly limits: HttpLimits;
}

export function http1ClientOptions(given: Partial<Http1ClientOptions> = {}): Http1ClientOptions {
  const { limits = DEFAULT_HTTP_LIMITS } = given;
  return Object.freeze({ limits });
}

const Phase = { Idle: 0, Head: 1, Body: 2, Tunnel: 3, Closed: 4 } as const;
type Phase = (typeof Phase)[keyof typeof Phase];

/**
 * The client role of HTTP/1.1 (RFC 9112) on one transport: one request at a time, never pipelined.
 *
 *   Idle ──request──▶ Head ──final head──▶ Body ──end──▶ Idle, or Closed where it does not persist
 *                      │ ▲ 1xx               (101, 2xx to CONNECT: Tunnel ──▶ Closed)
 *
 * Whatever breaks the protocol burns the connection, because nobody knows any more where the next
 * response begins: bytes that no request asked for (A3.2, D5), a response that ended before its
 * request did (D23), a body that was cut short (I4).
 */
export class Http1ClientConnection implements ClientConnection {
  readonly #transport: CollectingTransport;
  readonly #listener: ClientConnectionListener;
  readonly #limits: HttpLimits;

  readonly #parser: HeadParser;
  readonly #fields = new FieldSection();
  readonly #headReader = new ResponseHeadReader();
  readonly #body: BodyReader;
  readonly #out: WriteBuffer;
  readonly #encoder: HeadEncoder;
  readonly #writer: BodyWriter;

  #phase: Phase = Phase.Idle;
  #stream: Http1ClientStream | null = null;
  #reusable = true;
  violated = false;
  #informationalCount = 0;
  #readingPaused = false;
  #closeDetail = '';
  #peerKeepAliveTimeoutMs = -1;

  constructor(
    transport: CollectingTransport,
    listener: ClientConnectionListener,
    options: Http1ClientOptions,
  ) {
    this.#transport = transport;
    this.#listener = listener;
    this.#limits = options.limits;
    this.#parser = new HeadParser(SectionKind.Response, options.limits);
    this.#body = new BodyReader(options.limits);
    this.#out = new WriteBuffer(MESSAGE_SLABS, transport);
    this.#encoder = new HeadEncoder(this.#out);
    this.#writer = new BodyWriter(this.#out);
  }

  get capacity(): number {
    return this.#phase === Phase.Idle && this.#reusable ? 1 : 0;
  }

  get activeStreams(): number {
    return this.#stream === null ? 0 : 1;
  }

  get reusable(): boolean {
    return this.#reusable;
  }

  /** Why the connection became unusable, for logs and counters; '' while it is usable. */
  get closeDetail(): string {
    return this.#closeDetail;
  }

  /**
   * Milliseconds after which the peer says it closes an idle connection (`keep-alive: timeout=N` of
   * the latest response), -1 where it says nothing. A pool that gives up earlier avoids the race of
   * D4.
   */
  get peerKeepAliveTimeoutMs(): number {
    return this.#peerKeepAliveTimeoutMs;
  }

  /**
   * A request whose `content-length` contradicts itself or `endStream`, or whose path could not be
   * read back, is not sent: the sink gets
   * `onReset('localReset')` before this returns, and the connection stays usable.
   */
  request(head: RequestHead, endStream: boolean, sink: ResponseSink): ClientStream {
    const requestEnded = endStream && head.upgrade === '';
    const stream = new Http1ClientStream(this, head.method, head.upgrade, sink, requestEnded);
    const free = this.capacity > 0;
    if (!free || !this.#encoder.request(head, endStream)) {
      stream.active = false;
      const detail = free ? 'http1.invalid_outgoing_head' : 'http1.no_capacity';
      sink.onReset('localReset', detail);
      return stream;
    }
    this.#stream = stream;
    this.#phase = Phase.Head;
    this.#informationalCount = 0;
    this.#writer.begin(this.#encoder.framing, this.#encoder.lengthBytes);
    return stream;
  }

  receive(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      switch (this.#phase) {
        case Phase.Head:
          at = this.#readHead(bytes, at);
          break;
        case Phase.Body:
          at = this.#readBody(bytes, at);
          break;
        case Phase.Tunnel:
          this.#stream!.sink.onData(at === 0 ? bytes : bytes.subarray(at), false);
          at = bytes.length;
          break;
        case Phase.Idle:
          this.#breakIdle(UNSOLICITED_BYTES.code);
          return;
        case Phase.Closed:
          return;
      }
    }
  }

  receiveEnd(): void {
    const stream = this.#stream;
    switch (this.#phase) {
      case Phase.Closed:
        return;
      case Phase.Idle:
        this.#breakIdle('http1.upstream_closed_idle');
        return;
      case Phase.Head:
        this.#fail('connectionTermination', 'http1.upstream_closed_before_response');
        return;
      case Phase.Body:
        if (this.#body.framing !== BodyFraming.UntilClose) {
          this.#fail('connectionTermination', 'http1.upstream_closed_in_body');
          return;
        }
        stream!.responseEnded = true;
        stream!.sink.onData(NO_BYTES, true);
        if (this.#stream === stream) this.#finish(false);
        return;
      case Phase.Tunnel:
        if (stream!.responseEnded) return;
        stream!.responseEnded = true;
        stream!.sink.onData(NO_BYTES, true);
        if (this.#stream === stream && stream!.requestEnded) this.#finish(false);
        return;
    }
  }

  close(detail: string): void {
    if (this.#phase === Phase.Closed) return;
    this.#burn(detail);
    const stream = this.#stream;
    if (stream === null) return;
    this.#stream = null;
    stream.active = false;
    stream.sink.onReset('connectionTermination', detail);
    this.#listener.onStreamEnd(this);
  }

  onTransportDrain(): void {
    this.#out.blocked = false;
    const stream = this.#stream;
    if (stream?.blocked !== true || stream.waitsForTunnel) return;
    stream.blocked = false;
    stream.sink.onDrain();
  }

  // What follows until #readHead is for the stream of this connection.

  /** False: the transport is full. */
  writeRequestData(stream: Http1ClientStream, chunk: Buffer, endStream: boolean): boolean {
    const result = this.#writer.write(chunk, endStream);
    return this.#afterWrite(stream, result, endStream);
  }

  writeRequestTrailers(stream: Http1ClientStream, trailers: HeaderBlock): void {
    this.#afterWrite(stream, this.#writer.writeTrailers(trailers), true);
  }

  abandon(stream: Http1ClientStream, detail: string): void {
    if (this.#stream !== stream) return;
    const tunnel = this.#phase === Phase.Tunnel;
    stream.active = false;
    this.#stream = null;
    this.#burn(detail);
    // The end of a tunnel is the end of its connection: one that was cut must not look like it (I4).
    if (tunnel) this.#transport.abort();
    else this.#transport.destroy();
    this.#listener.onStreamEnd(this);
  }

  setReadingPaused(paused: boolean): void {
    if (paused === this.#readingPaused) return;
    this.#readingPaused = paused;
    if (paused) this.#transport.pauseReading();
    else this.#transport.resumeReading();
  }

  #afterWrite(stream: Http1ClientStream, result: WriteResult, endStream: boolean): boolean {
    if (result === WriteResult.Broken) {
      this.abandon(stream, 'http1.outgoing_content_length_mismatch');
      stream.sink.onReset('localReset', 'http1.outgoing_content_length_mismatch');
      return true;
    }
    if (!endStream) {
      stream.blocked = result === WriteResult.Blocked;
      return !stream.blocked;
    }
    stream.requestEnded = true;
    if (this.#phase === Phase.Tunnel) {
      this.#transport.end();
      if (stream.responseEnded) this.#finish(false);
    }
    return true;
  }

  #readHead(bytes: Buffer, start: number): number {
    const parser = this.#parser;
    const fields = this.#fields;
    const stream = this.#stream!;
    const result = parser.parse(bytes, start);
    if (result === ParseResult.NeedMore) return bytes.length;
    if (result === ParseResult.Failed) return this.#violate(parser.violation, bytes);
    const at = parser.consumed;
    const { status, minor } = parser;
    let violation = fields.read(parser);
    if (violation === NO_VIOLATION) {
      violation = this.#headReader.read(parser, fields, stream.upgrade);
    }
    if (violation !== NO_VIOLATION) return this.#violate(violation, bytes);
    parser.begin(SectionKind.Response);

    const head = this.#headReader.take();
    if (status < 200 && !head.upgrade) {
      this.#informationalCount++;
      if (this.#informationalCount > this.#limits.informationalCountMax) {
        return this.#violate(TOO_MANY_INFORMATIONAL, bytes);
      }
      stream.sink.onInformational(head);
      return at;
    }
    if (head.upgrade) {
      this.#burn('http1.tunnel');
      this.#phase = Phase.Tunnel;
      this.#writer.begin(BodyFraming.Tunnel, 0);
      stream.sink.onResponse(head, false);
      stream.openTunnel();
      return at;
    }
    // A request that asked for a tunnel has no content: without the tunnel it is complete.
    if (stream.upgrade !== '') stream.refuseTunnel();
    const framing = responseBodyFraming(fields, status, stream.method);
    this.#body.begin(framing, fields.contentLength);
    this.#peerKeepAliveTimeoutMs =
      fields.keepAliveTimeoutS < 0 ? -1 : fields.keepAliveTimeoutS * 1000;
    // RFC 9112 §9.3: 1.1 persists unless it says close, 1.0 only if it says so.
    const persists = !fields.close && (minor === 1 || fields.keepAlive);
    if (!persists || framing === BodyFraming.UntilClose) {
      this.#reusable = false;
      this.#closeDetail = 'http1.connection_close';
    }
    if (framing !== BodyFraming.None) {
      this.#phase = Phase.Body;
      stream.sink.onResponse(head, false);
      return at;
    }
    stream.responseEnded = true;
    stream.sink.onResponse(head, true);
    if (this.#stream === stream) this.#finish(at < bytes.length);
    return this.#phase === Phase.Closed ? bytes.length : at;
  }

  #readBody(bytes: Buffer, start: number): number {
    const stream = this.#stream!;
    const body = this.#body;
    const result = body.read(bytes, start, stream);
    if (result === ParseResult.NeedMore || this.#stream !== stream) return bytes.length;
    if (result === ParseResult.Failed) return this.#violate(body.violation, bytes);
    this.#finish(body.consumed < bytes.length);
    return bytes.length;
  }

  /**
   * The response is over (or both ways of a tunnel). `excess`: bytes follow it that no request asked
   * for; this has to be known before the listener may start the next request.
   */
  #finish(excess: boolean): void {
    const stream = this.#stream!;
    stream.active = false;
    this.#stream = null;
    if (!stream.requestEnded) {
      this.#burn('http1.response_before_request_end');
      this.#transport.destroy();
    } else if (!this.#reusable) {
      this.#phase = Phase.Closed;
      this.#transport.closeAfterFlush();
    } else if (excess) {
      this.#burn(UNSOLICITED_BYTES.code);
      this.#transport.destroy();
    } else {
      this.#phase = Phase.Idle;
    }
    this.setReadingPaused(false);
    this.#listener.onStreamEnd(this);
  }

  #violate(violation: Violation, bytes: Buffer): number {
    this.violated = true;
    this.#fail('protocolError', violation.code);
    return bytes.length;
  }

  #fail(reason: ResetReason, detail: string): void {
    const stream = this.#stream!;
    stream.active = false;
    this.#stream = null;
    this.#burn(detail);
    this.#transport.destroy();
    stream.sink.onReset(reason, detail);
    this.#listener.onStreamEnd(this);
  }

  #breakIdle(detail: string): void {
    this.#burn(detail);
    this.#transport.destroy();
    this.#listener.onStreamEnd(this);
  }

  #burn(detail: string): void {
    this.#reusable = false;
    this.#phase = Phase.Closed;
    if (this.#closeDetail === '') this.#closeDetail = detail;
  }
}

/** Bytes of a tunnel written before the peer has agreed to it; beyond it the stream is given up. */
const EARLY_TUNNEL_BYTES_MAX = 1024 * 1024;

/** One request and its response on an HTTP/1.1 client connection. */
class Http1ClientStream implements ClientStream, ChunkedSink {
  readonly method: string;
  /** `RequestHead.upgrade` of the request. */
  readonly upgrade: string;
  readonly sink: ResponseSink;
  active = true;
  requestEnded: boolean;
  responseEnded = false;
  /** The last `writeData` answered false. */
  blocked = false;
  /** A tunnel was asked for and is neither open nor refused: nothing may be sent. */
  waitsForTunnel: boolean;

  readonly #connection: Http1ClientConnection;
  #early: Buffer[] = NO_CHUNKS;
  #earlyBytes = 0;
  #earlyEnd = false;

  constructor(
    connection: Http1ClientConnection,
    method: string,
    upgrade: string,
    sink: ResponseSink,
    requestEnded: boolean,
  ) {
    this.#connection = connection;
    this.method = method;
    this.upgrade = upgrade;
    this.sink = sink;
    this.requestEnded = requestEnded;
    this.waitsForTunnel = upgrade !== '';
  }

  writeData(chunk: Buffer, endStream: boolean): boolean {
    if (!this.active || this.requestEnded) return true;
    if (this.waitsForTunnel) return this.#keepEarly(chunk, endStream);
    return this.#connection.writeRequestData(this, chunk, endStream);
  }

  writeTrailers(trailers: HeaderBlock): void {
    if (!this.active || this.requestEnded) return;
    if (this.waitsForTunnel) this.#earlyEnd = true;
    else this.#connection.writeRequestTrailers(this, trailers);
  }

  reset(_reason: ResetReason): void {
    if (this.active) this.#connection.abandon(this, 'http1.local_reset');
  }

  pause(): void {
    if (this.active) this.#connection.setReadingPaused(true);
  }

  resume(): void {
    if (this.active) this.#connection.setReadingPaused(false);
  }

  onBodyData(chunk: Buffer, endStream: boolean): void {
    if (!this.active) return;
    if (endStream) this.responseEnded = true;
    this.sink.onData(chunk, endStream);
  }

  onBodyTrailers(trailers: HeaderBlock): void {
    if (!this.active) return;
    this.responseEnded = true;
    this.sink.onTrailers(trailers);
  }

  /** The peer has agreed: what was written meanwhile goes out. */
  openTunnel(): void {
    if (!this.active) return;
    this.waitsForTunnel = false;
    const early = this.#early;
    const wasBlocked = this.blocked;
    this.#early = NO_CHUNKS;
    let flowing = true;
    for (let at = 0; at < early.length; at++) flowing = this.writeData(early[at]!, false);
    if (this.#earlyEnd) this.writeData(NO_BYTES, true);
    else if (wasBlocked && flowing && this.active) this.sink.onDrain();
  }

  /** The answer is an ordinary response. */
  refuseTunnel(): void {
    this.waitsForTunnel = false;
    this.requestEnded = true;
    this.blocked = false;
    this.#early = NO_CHUNKS;
  }

  #keepEarly(chunk: Buffer, endStream: boolean): boolean {
    if (chunk.length > 0) {
      this.#earlyBytes += chunk.length;
      if (this.#earlyBytes > EARLY_TUNNEL_BYTES_MAX) {
        this.#connection.abandon(this, 'http1.too_much_before_tunnel');
        this.sink.onReset('localReset', 'http1.too_much_before_tunnel');
        return true;
      }
      if (this.#early === NO_CHUNKS) this.#early = [chunk];
      else this.#early.push(chunk);
      this.blocked = true;
    }
    if (endStream) this.#earlyEnd = true;
    return chunk.length === 0;
  }
}

const NO_BYTES = Buffer.alloc(0);
const NO_CHUNKS: Buffer[] = [];
