import type { HeaderBlock } from '../http/header-block.ts';
import type { RequestHead, ResponseHead } from '../http/message.ts';
import type { BodySink, ResetReason, ServerStream } from '../http/stream.ts';
import type { Transport } from '../http/transport.ts';
import { BodyFraming } from './body.ts';
import { WriteResult } from './body-writer.ts';
import type { ChunkedSink } from './chunked.ts';
import type { Http1ServerParts } from './server-parts.ts';

/** What a server stream tells its connection. */
export interface ServerExchange {
  /** Whether a response head written now has to announce the end of the connection. */
  closesAfterResponse(): boolean;
  onResponseEnd(): void;
  /** The response switched protocols. */
  onTunnel(): void;
  /** The stream was given up: by its user, or because what it wrote could not be framed. */
  onStreamAbandoned(): void;
  setSinkPaused(paused: boolean): void;
}

/**
 * One request and its response on an HTTP/1.1 server connection. The request half comes in through
 * `ChunkedSink` and goes to `sink`; the response half is written here. A stream that is over
 * (`active` false) ignores every call, so that a late writer cannot reach the next exchange.
 */
export class Http1ServerStream implements ServerStream, ChunkedSink {
  readonly request: RequestHead;
  /** Where the request half goes; nowhere until the handler has returned its sink. */
  sink: BodySink = DETACHED_SINK;
  active = true;
  requestEnded: boolean;
  headWritten = false;
  responseEnded = false;
  /** The response switched protocols: both directions pass bytes as they are. */
  tunnel = false;
  /** The connection ends with this exchange. */
  close: boolean;
  /** The last `writeData` answered false. */
  blocked = false;

  readonly #exchange: ServerExchange;
  readonly #transport: Transport;
  /** The connection's while the stream is active. */
  readonly #parts: Http1ServerParts;

  constructor(
    exchange: ServerExchange,
    transport: Transport,
    parts: Http1ServerParts,
    request: RequestHead,
    requestEnded: boolean,
    close: boolean,
  ) {
    this.#exchange = exchange;
    this.#transport = transport;
    this.#parts = parts;
    this.request = request;
    this.requestEnded = requestEnded;
    this.close = close;
  }

  writeInformational(head: ResponseHead): void {
    if (!this.active || this.headWritten) return;
    // RFC 9110 §15.2: an HTTP/1.0 client does not know 1xx.
    if (this.request.version !== 'HTTP/1.1' || head.status >= 200 || head.status === 101) return;
    this.#parts.encoder.informational(head);
  }

  writeHead(head: ResponseHead, endStream: boolean): void {
    if (!this.active || this.headWritten) return;
    const { request } = this;
    // RFC 9110 §9.3.6: any 2xx to CONNECT opens the tunnel, whoever made it.
    if (request.upgrade === 'connect' && head.status >= 200 && head.status < 300) {
      head.upgrade = true;
    }
    if (head.upgrade ? request.upgrade === '' : head.status < 200) {
      this.#abandon('http1.unsolicited_switch_of_protocols');
      return;
    }
    // What a client sends behind a CONNECT in hope of a tunnel must never be read as its next request.
    const refusedConnect = request.upgrade === 'connect' && !head.upgrade;
    const close = this.close || refusedConnect || this.#exchange.closesAfterResponse();
    const { encoder, writer } = this.#parts;
    if (!encoder.response(head, endStream, request, close, !this.close)) {
      this.#abandon('http1.outgoing_content_length_mismatch');
      return;
    }
    this.close = encoder.close;
    this.headWritten = true;
    writer.begin(encoder.framing, encoder.lengthBytes);
    if (head.upgrade) {
      this.tunnel = true;
      this.#exchange.onTunnel();
    } else if (request.upgrade !== '' && !this.requestEnded) {
      // No tunnel after all, and such a request has no content: its half ends here.
      this.requestEnded = true;
      this.sink.onData(NO_DATA, true);
    }
    if (endStream && this.active) this.#endResponse();
  }

  writeData(chunk: Buffer, endStream: boolean): boolean {
    if (!this.active || this.responseEnded) return true;
    if (!this.headWritten) {
      this.#abandon('http1.data_before_response_head');
      return true;
    }
    return this.#afterWrite(this.#parts.writer.write(chunk, endStream), endStream);
  }

  writeTrailers(trailers: HeaderBlock): void {
    if (!this.active || this.responseEnded || !this.headWritten) return;
    this.#afterWrite(this.#parts.writer.writeTrailers(trailers), true);
  }

  reset(_reason: ResetReason): void {
    if (!this.active) return;
    this.active = false;
    this.#cut();
    this.#exchange.onStreamAbandoned();
  }

  /** One stream at a time: there is nothing to count. */
  holdSlot(): void {}
  releaseSlot(): void {}

  pause(): void {
    if (this.active) this.#exchange.setSinkPaused(true);
  }

  resume(): void {
    if (this.active) this.#exchange.setSinkPaused(false);
  }

  onBodyData(chunk: Buffer, endStream: boolean): void {
    if (endStream) this.requestEnded = true;
    if (this.active && !this.responseEnded) this.sink.onData(chunk, endStream);
  }

  onBodyTrailers(trailers: HeaderBlock): void {
    this.requestEnded = true;
    if (this.active && !this.responseEnded) this.sink.onTrailers(trailers);
  }

  #afterWrite(result: WriteResult, endStream: boolean): boolean {
    if (result === WriteResult.Broken) {
      this.#abandon('http1.outgoing_content_length_mismatch');
      return true;
    }
    if (endStream) {
      this.#endResponse();
      return true;
    }
    this.blocked = result === WriteResult.Blocked;
    return !this.blocked;
  }

  #endResponse(): void {
    this.responseEnded = true;
    if (this.tunnel) this.#transport.end();
    this.#exchange.onResponseEnd();
  }

  /** Where the end of the connection would be the end of the message, it must not look like one (I4): RST. */
  #cut(): void {
    const { framing } = this.#parts.writer;
    const endsWithConnection = this.tunnel || framing === BodyFraming.UntilClose;
    if (this.headWritten && endsWithConnection) this.#transport.abort();
    else this.#transport.destroy();
  }

  /** What was written cannot be sent without breaking the framing: drop the connection instead. */
  #abandon(detail: string): void {
    this.active = false;
    this.#cut();
    this.#exchange.onStreamAbandoned();
    this.sink.onReset('localReset', detail);
  }
}

const NO_DATA = Buffer.alloc(0);

const DETACHED_SINK: BodySink = Object.freeze({
  onData() {},
  onTrailers() {},
  onReset() {},
  onDrain() {},
});
