import { DEFAULT_HTTP_LIMITS, type HttpLimits } from '../http/limits.ts';
import { responseReason } from '../http/response-reason.ts';
import type { ServerConnection, ServerHandler } from '../http/stream.ts';
import type { CollectingTransport, WriteSource } from '../http/transport.ts';
import { BodyFraming, requestBodyFraming } from './body.ts';
import { ParseResult, SectionKind } from './head-parser.ts';
import { type Http1ServerParts, type Http1ServerPartsPool, partsPoolOf } from './server-parts.ts';
import { Http1ServerStream, type ServerExchange } from './server-stream.ts';
import {
  HTTP10_NOT_ACCEPTED,
  NO_VIOLATION,
  TOO_MUCH_PIPELINED,
  type Violation,
} from './violation.ts';

/** Settings of the server role. Built by `http1ServerOptions`, frozen, shared by a listener. */
export interface Http1ServerOptions {
  /** What the connection is; the scheme of requests whose target does not say another. */
  readonly scheme: 'http' | 'https';
  /** `http_protocol_options.accept_http_10`, default false: HTTP/1.0 is answered 426 (PR-04). */
  readonly acceptHttp10: boolean;
  readonly limits: HttpLimits;
}

export function http1ServerOptions(given: Partial<Http1ServerOptions> = {}): Http1ServerOptions {
  const { scheme = 'http', acceptHttp10 = false, limits = DEFAULT_HTTP_LIMITS } = given;
  return Object.freeze({ scheme, acceptHttp10, limits });
}

/** What the connection is doing, for the timers of its owner. */
export type Http1ServerState =
  /** Between requests: nothing of the next one has arrived. Idle timeout. */
  | 'idle'
  /** A head has begun and is not complete. Request-headers timeout: answer with `refuse(408)` (A1.9). */
  | 'head'
  /** The request body is arriving. */
  | 'body'
  /** The request is complete, its response is not. */
  | 'response'
  /** After 101, or 2xx to CONNECT. */
  | 'tunnel'
  | 'closed';

const Phase = { Head: 0, Body: 1, AwaitResponse: 2, Tunnel: 3, Closed: 4 } as const;
type Phase = (typeof Phase)[keyof typeof Phase];

/**
 * The server role of HTTP/1.1 (RFC 9112) on one transport.
 *
 *          ┌──────────────── response over, connection persists ────────────────┐
 *          ▼                                                                    │
 *        Head ──head──▶ Body ──body complete──▶ AwaitResponse ──────────────────┤
 *          │                                         │ 101, 2xx to CONNECT      ▼
 *          └── violation: answer ──▶ Closed          └──▶ Tunnel ──────────▶ Closed
 *
 * Requests are answered in order because the next one is not parsed before the current exchange is
 * over: what a client pipelines is held (`pipelinedBytesMax`) and the transport paused meanwhile.
 * A response that ends before its request does ends the connection, unless the rest of the request is
 * in the bytes at hand. As in Envoy a client that half-closes before its response has gone away.
 */
export class Http1ServerConnection implements ServerConnection, ServerExchange, WriteSource {
  readonly #transport: CollectingTransport;
  readonly #handler: ServerHandler;
  readonly #options: Http1ServerOptions;

  readonly #pool: Http1ServerPartsPool;
  /** Null between requests. */
  #parts: Http1ServerParts | null = null;

  #phase: Phase = Phase.Head;
  #stream: Http1ServerStream | null = null;
  /** Bytes that arrived behind an unanswered request. */
  #backlog: Buffer = NO_BYTES;
  /** Inside `#run`: what a handler does now must not start another one. */
  #running = false;
  /** Bytes of the current input behind the request head. */
  #inHandBytes = 0;
  #sinkPaused = false;
  #readingPaused = false;
  #draining = false;

  constructor(transport: CollectingTransport, handler: ServerHandler, options: Http1ServerOptions) {
    this.#transport = transport;
    this.#handler = handler;
    this.#options = options;
    this.#pool = partsPoolOf(options);
  }

  get activeStreams(): number {
    return this.#stream === null ? 0 : 1;
  }

  get state(): Http1ServerState {
    switch (this.#phase) {
      case Phase.Head:
        return this.#hasHeadStarted() ? 'head' : 'idle';
      case Phase.Body:
        return 'body';
      case Phase.AwaitResponse:
        return 'response';
      case Phase.Tunnel:
        return 'tunnel';
      default:
        return 'closed';
    }
  }

  #hasHeadStarted(): boolean {
    return this.#parts?.parser.started === true;
  }

  receive(bytes: Buffer): void {
    if (this.#phase === Phase.Closed) return;
    if (this.#running || this.#backlog.length > 0) {
      this.#hold(this.#backlog, bytes);
      return;
    }
    this.#run(bytes);
  }

  receiveEnd(): void {
    const stream = this.#stream;
    switch (this.#phase) {
      case Phase.Closed:
        return;
      case Phase.Head:
        this.#closeGently();
        return;
      case Phase.Body:
      case Phase.AwaitResponse:
        this.#phase = Phase.Closed;
        this.#transport.destroy();
        this.#endStream('http1.downstream_closed');
        return;
      case Phase.Tunnel:
        if (stream === null || stream.requestEnded) return;
        stream.requestEnded = true;
        stream.sink.onData(NO_BYTES, true);
        if (stream.responseEnded) this.#finishExchange();
        return;
    }
  }

  close(detail: string): void {
    if (this.#phase === Phase.Closed && this.#stream === null) return;
    this.#phase = Phase.Closed;
    this.#backlog = NO_BYTES;
    this.#endStream(detail);
  }

  onTransportDrain(): void {
    const parts = this.#parts;
    if (parts !== null) parts.out.blocked = false;
    const stream = this.#stream;
    if (stream?.blocked === true) {
      stream.blocked = false;
      stream.sink.onDrain();
    }
    this.#giveParts();
  }

  /** The end of a turn: hands what was written to the transport. */
  flush(): void {
    this.#parts?.out.flush();
    this.#giveParts();
  }

  drain(): void {
    this.#draining = true;
    if (this.#phase === Phase.Head && !this.#hasHeadStarted()) this.#closeGently();
  }

  /**
   * Answers `status` with an empty body and closes, where no request is open: 408 at the
   * request-headers timeout (A1.9), 503 at overload. `onProtocolError` is not called.
   */
  refuse(status: number): void {
    if (this.#phase !== Phase.Head) return;
    this.#answer(status);
    this.#closeGently();
  }

  // What follows until #run is for the stream of this connection.

  closesAfterResponse(): boolean {
    if (this.#draining) return true;
    const stream = this.#stream;
    if (stream === null || stream.requestEnded) return false;
    if (stream.request.upgrade !== '') return false;
    // The request is still arriving, and may be when the response ends: as in Envoy the client is told now, or it
    // would send its next request into the close. The connection lives on only if the rest is surely at hand.
    if (!this.#running) return true;
    const { remainingBytes } = this.#parts!.body;
    return remainingBytes < 0 || remainingBytes > this.#inHandBytes;
  }

  onResponseEnd(): void {
    const stream = this.#stream;
    if (stream === null) return;
    if (stream.requestEnded) this.#finishExchange();
    else if (!stream.tunnel && !this.#running) this.#closeGently();
  }

  onTunnel(): void {
    this.#phase = Phase.Tunnel;
    this.#runBacklog();
  }

  onStreamAbandoned(): void {
    this.#phase = Phase.Closed;
    this.#stream = null;
    this.#backlog = NO_BYTES;
  }

  setSinkPaused(paused: boolean): void {
    this.#sinkPaused = paused;
    this.#updateReading();
  }

  #run(first: Buffer): void {
    this.#running = true;
    let bytes = first;
    for (;;) {
      let at = 0;
      while (at < bytes.length && this.#phase !== Phase.Closed) {
        switch (this.#phase) {
          case Phase.Head:
            at = this.#readHead(bytes, at);
            break;
          case Phase.Body:
            at = this.#readBody(bytes, at);
            break;
          case Phase.AwaitResponse:
            this.#hold(bytes.subarray(at), this.#backlog);
            at = bytes.length;
            break;
          case Phase.Tunnel:
            this.#stream!.sink.onData(at === 0 ? bytes : bytes.subarray(at), false);
            at = bytes.length;
            break;
        }
      }
      if (this.#backlog.length === 0 || this.#isWaiting()) break;
      bytes = this.#backlog;
      this.#backlog = NO_BYTES;
    }
    this.#running = false;
    // The response is over and the request is not: reading on would have no end (D23).
    if (this.#phase === Phase.Body && this.#stream!.responseEnded) this.#closeGently();
    this.#updateReading();
    this.#giveParts();
  }

  #takeParts(): Http1ServerParts {
    this.#parts ??= this.#pool.take(this.#transport, this);
    return this.#parts;
  }

  /** Between requests others may have them, when what was written is with the transport. */
  #giveParts(): void {
    const parts = this.#parts;
    if (parts === null || this.#running || this.#phase !== Phase.Head) return;
    if (this.#stream !== null || parts.parser.started || !parts.out.unused) return;
    this.#parts = null;
    this.#pool.give(parts);
  }

  #isWaiting(): boolean {
    return this.#phase === Phase.AwaitResponse || this.#phase === Phase.Closed;
  }

  #readHead(bytes: Buffer, start: number): number {
    const parts = this.#takeParts();
    const { parser, fields, headReader, body } = parts;
    const result = parser.parse(bytes, start);
    if (result === ParseResult.NeedMore) return bytes.length;
    if (result === ParseResult.Failed) return this.#refuse(parser.violation, bytes);
    const at = parser.consumed;
    const { minor } = parser;
    if (minor === 0 && !this.#options.acceptHttp10) return this.#refuse(HTTP10_NOT_ACCEPTED, bytes);
    let violation = fields.read(parser);
    if (violation === NO_VIOLATION) violation = headReader.read(parser, fields);
    if (violation !== NO_VIOLATION) return this.#refuse(violation, bytes);
    parser.begin(SectionKind.Request);

    const head = headReader.take();
    const framing = requestBodyFraming(fields);
    const requestEnded = framing === BodyFraming.None && head.upgrade === '';
    // RFC 9112 §9.3: 1.1 persists unless it says close, 1.0 only if it asks to.
    const close = fields.close || (minor === 0 && !fields.keepAlive);
    const stream = new Http1ServerStream(this, this.#transport, parts, head, requestEnded, close);
    this.#stream = stream;
    body.begin(framing, fields.contentLength);
    this.#phase = framing === BodyFraming.None ? Phase.AwaitResponse : Phase.Body;
    this.#inHandBytes = bytes.length - at;
    const sink = this.#handler.onRequest(stream, head, requestEnded);
    if (stream.active) stream.sink = sink;
    return at;
  }

  #readBody(bytes: Buffer, start: number): number {
    const stream = this.#stream!;
    const { body } = this.#parts!;
    this.#inHandBytes = 0;
    const result = body.read(bytes, start, stream);
    if (result === ParseResult.NeedMore) return bytes.length;
    if (result === ParseResult.Failed) return this.#failStream(stream, body.violation, bytes);
    if (this.#stream === stream) {
      this.#phase = stream.tunnel ? Phase.Tunnel : Phase.AwaitResponse;
      if (stream.responseEnded) this.#finishExchange();
    }
    return body.consumed;
  }

  /** Both halves have ended. */
  #finishExchange(): void {
    const stream = this.#stream!;
    stream.active = false;
    this.#stream = null;
    this.#sinkPaused = false;
    if (stream.close || this.#draining) {
      this.#closeGently();
      return;
    }
    this.#phase = Phase.Head;
    this.#runBacklog();
    this.#giveParts();
  }

  #runBacklog(): void {
    if (this.#running) return;
    const held = this.#backlog;
    if (held.length === 0) {
      this.#updateReading();
      return;
    }
    this.#backlog = NO_BYTES;
    this.#run(held);
  }

  /** The codec's own answer, behind what was written before. */
  #answer(status: number): void {
    this.#takeParts().out.put(errorAnswer(status));
  }

  /** A violation where no stream is open. */
  #refuse(violation: Violation, bytes: Buffer): number {
    this.#answer(violation.status);
    this.#closeGently();
    this.#handler.onProtocolError(violation.status, violation.code);
    return bytes.length;
  }

  /** A violation in a request body: 400 if nothing has been answered, else visible truncation. */
  #failStream(stream: Http1ServerStream, violation: Violation, bytes: Buffer): number {
    if (this.#stream !== stream) return bytes.length;
    const answered = stream.headWritten;
    if (!answered) this.#answer(violation.status);
    this.#stream = null;
    stream.active = false;
    this.#closeGently();
    if (answered && !stream.responseEnded) this.#transport.destroy();
    if (!stream.responseEnded) stream.sink.onReset('protocolError', violation.code);
    return bytes.length;
  }

  #endStream(detail: string): void {
    const stream = this.#stream;
    if (stream === null) return;
    this.#stream = null;
    if (!stream.active) return;
    stream.active = false;
    const half = !stream.tunnel && stream.responseEnded;
    if (!half) stream.sink.onReset('connectionTermination', detail);
  }

  #closeGently(): void {
    this.#phase = Phase.Closed;
    this.#backlog = NO_BYTES;
    const stream = this.#stream;
    if (stream !== null) {
      stream.active = false;
      this.#stream = null;
    }
    // The transport discards what still comes in for a while, so that no RST overtakes the answer.
    this.#transport.closeAfterFlush();
    this.#updateReading();
  }

  #hold(first: Buffer, second: Buffer): void {
    if (first.length + second.length > this.#options.limits.pipelinedBytesMax) {
      this.#phase = Phase.Closed;
      this.#backlog = NO_BYTES;
      this.#transport.destroy();
      this.#endStream(TOO_MUCH_PIPELINED.code);
      return;
    }
    this.#backlog = first.length === 0 ? second : concat(first, second);
    this.#updateReading();
  }

  #updateReading(): void {
    const pause = this.#phase !== Phase.Closed && (this.#sinkPaused || this.#backlog.length > 0);
    if (pause === this.#readingPaused) return;
    this.#readingPaused = pause;
    if (pause) this.#transport.pauseReading();
    else this.#transport.resumeReading();
  }
}

const NO_BYTES = Buffer.alloc(0);

function concat(first: Buffer, second: Buffer): Buffer {
  return second.length === 0 ? first : Buffer.concat([first, second]);
}

/** The codec's own answer, with Envoy's body (the reason phrase), and the last one on its connection. */
function errorAnswer(status: number): Buffer {
  // RFC 9110 §15.5.22: 426 names the protocol to upgrade to.
  const connection = status === 426 ? 'close, upgrade\r\nupgrade: HTTP/1.1' : 'close';
  const body = responseReason(status);
  return Buffer.from(
    `HTTP/1.1 ${status} ${body}\r\ncontent-length: ${body.length}\r\ncontent-type: text/plain\r\n` +
      `connection: ${connection}\r\n\r\n${body}`,
    'latin1',
  );
}
