import type { ClientStream, ResetReason, ResponseSink } from '../http/stream.ts';
import { ErrorCode } from './error-code.ts';
import { Http2Stream, NO_BYTES, type StreamConnection } from './stream.ts';

/** Bytes of a tunnel written before the peer has agreed to it; beyond it the stream is given up. */
const EARLY_TUNNEL_BYTES_MAX = 1024 * 1024;

/** One request and its response on an HTTP/2 client connection. */
export class Http2ClientStream extends Http2Stream implements ClientStream {
  readonly method: string;
  /** `RequestHead.upgrade` of the request. */
  readonly upgrade: string;
  /** The challenge of a WebSocket request, '' = none. */
  readonly webSocketKey: string;
  readonly responseSink: ResponseSink;
  /** The final head has come. */
  headReceived = false;
  informationalCount = 0;
  /** The peer has agreed to the tunnel that was asked for. */
  tunnel = false;
  /** A tunnel was asked for and is neither open nor refused: nothing may be sent. */
  #waitsForTunnel: boolean;
  #early: Buffer[] = [];
  #earlyBytes = 0;
  #earlyEnd = false;

  constructor(
    connection: StreamConnection,
    id: number,
    receiveWindowBytes: number,
    sendWindowBytes: number,
    method: string,
    upgrade: string,
    webSocketKey: string,
    sink: ResponseSink,
  ) {
    super(connection, id, receiveWindowBytes, sendWindowBytes);
    this.method = method;
    this.upgrade = upgrade;
    this.webSocketKey = webSocketKey;
    this.sink = sink;
    this.responseSink = sink;
    this.#waitsForTunnel = upgrade !== '';
  }

  /** `contentBytes`: what the request announced, -1: nothing. */
  beginRequest(contentBytes: number, endStream: boolean): void {
    this.unsentBytes = contentBytes;
    this.ended = endStream;
  }

  override writeData(chunk: Buffer, endStream: boolean): boolean {
    if (this.#waitsForTunnel && this.active && !this.ended)
      return this.#keepEarly(chunk, endStream);
    return super.writeData(chunk, endStream);
  }

  override writeTrailers(trailers: readonly string[]): void {
    if (this.#waitsForTunnel) this.#earlyEnd = true;
    // A tunnel has no trailers: they end it.
    else if (this.tunnel) this.writeData(NO_BYTES, true);
    else super.writeTrailers([...trailers]);
  }

  /** The peer has agreed: what was written meanwhile goes out. */
  openTunnel(): void {
    if (!this.active) return;
    this.#waitsForTunnel = false;
    const early = this.#early;
    const wasBlocked = this.blocked;
    this.#early = [];
    let flowing = true;
    for (let at = 0; at < early.length; at++) flowing = super.writeData(early[at]!, false);
    if (this.#earlyEnd) super.writeData(NO_BYTES, true);
    else if (wasBlocked && flowing && this.active) this.sink.onDrain();
  }

  /** The answer is an ordinary response: the request, which has no content, is complete. */
  refuseTunnel(): void {
    this.#waitsForTunnel = false;
    this.blocked = false;
    this.#early = [];
    if (!this.ended) super.writeData(NO_BYTES, true);
  }

  protected readonly withoutContent = false;

  protected mayWrite(): boolean {
    return true;
  }

  protected resetCode(reason: ResetReason): ErrorCode {
    return reason === 'protocolError' ? ErrorCode.PROTOCOL_ERROR : ErrorCode.CANCEL;
  }

  protected onContentMismatch(): void {
    this.connection.abandon(this, ErrorCode.CANCEL);
    this.fail('localReset', 'http2.outgoing_content_length_mismatch');
  }

  protected isOver(): boolean {
    return this.receivedAll && (!this.tunnel || this.ended);
  }

  #keepEarly(chunk: Buffer, endStream: boolean): boolean {
    if (chunk.length > 0) {
      this.#earlyBytes += chunk.length;
      if (this.#earlyBytes > EARLY_TUNNEL_BYTES_MAX) {
        this.connection.abandon(this, ErrorCode.CANCEL);
        this.fail('localReset', 'http2.too_much_before_tunnel');
        return true;
      }
      this.#early.push(chunk);
      this.blocked = true;
    }
    if (endStream) this.#earlyEnd = true;
    return chunk.length === 0;
  }
}
