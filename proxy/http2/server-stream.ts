import { hasNoContent } from '../http/content-length.ts';
import type { RequestHead, ResponseHead } from '../http/message.ts';
import type { ResetReason, ServerStream } from '../http/stream.ts';
import { ErrorCode } from './error-code.ts';
import { Http2Stream, NO_BYTES, type StreamConnection } from './stream.ts';

/** What a server stream needs of its connection besides. */
export interface ServerStreamConnection extends StreamConnection {
  /** False, and nothing is written: the length announced cannot be true. */
  writeResponseHead(
    stream: Http2ServerStream,
    head: ResponseHead,
    endStream: boolean,
    lengthMatters: boolean,
  ): boolean;
  /** What `content-length` of the head written last says, -1: nothing. */
  readonly announcedBytes: number;
  /** The stream is closed and holds its slot no more. */
  onSlotReleased(stream: Http2ServerStream): void;
}

/** One request and its response on an HTTP/2 server connection. */
export class Http2ServerStream extends Http2Stream implements ServerStream {
  readonly request: RequestHead;
  headWritten = false;
  /** The response switched protocols: data passes both ways, `endStream` is a half-close. */
  tunnel = false;
  /** When its head came, by the connection's clock. */
  openedMs = 0;
  /** Size of its head, while that is held. */
  headBytes = 0;
  /** Of the connection: closed while `holdSlot` was in force. */
  slotKept = false;
  #holds = 0;
  #status = 0;
  readonly #server: ServerStreamConnection;

  constructor(
    connection: ServerStreamConnection,
    id: number,
    receiveWindowBytes: number,
    sendWindowBytes: number,
    request: RequestHead,
  ) {
    super(connection, id, receiveWindowBytes, sendWindowBytes);
    this.#server = connection;
    this.request = request;
    this.heldBack = request.upgrade !== '';
  }

  writeInformational(head: ResponseHead): void {
    if (!this.active || this.headWritten || head.status >= 200 || head.status === 101) return;
    this.#server.writeResponseHead(this, head, false, false);
  }

  writeHead(head: ResponseHead, endStream: boolean): void {
    if (!this.active || this.headWritten) return;
    const { upgrade } = this.request;
    const success = head.status >= 200 && head.status < 300;
    if (upgrade === 'connect' && success) head.upgrade = true;
    if (head.upgrade ? upgrade === '' : head.status < 200) {
      this.#giveUp('http2.unsolicited_switch_of_protocols');
      return;
    }
    // RFC 8441 §4: 2xx would open the tunnel that an HTTP/1.1 upstream has not opened.
    if (upgrade !== '' && success && !head.upgrade) head.status = 502;
    this.#status = head.status;
    this.tunnel = head.upgrade;
    const matters = !this.withoutContent && !head.upgrade;
    this.headWritten = true;
    this.ended = endStream;
    if (!this.#server.writeResponseHead(this, head, endStream, matters)) {
      this.#giveUp('http2.outgoing_content_length_mismatch');
      return;
    }
    this.unsentBytes = matters ? this.#server.announcedBytes : -1;
    if (endStream) this.updateActive();
    if (upgrade === '' || !this.active) return;
    this.heldBack = false;
    if (head.upgrade) {
      this.deliver();
      return;
    }
    // No tunnel after all, and such a request has no content: its half ends here.
    this.dropInbox();
    if (this.receivedAll) return;
    this.markReceivedAll();
    this.sink.onData(NO_BYTES, true);
  }

  holdSlot(): void {
    this.#holds++;
  }

  releaseSlot(): void {
    if (this.#holds === 0 || --this.#holds > 0 || !this.slotKept) return;
    this.slotKept = false;
    this.#server.onSlotReleased(this);
  }

  get slotHeld(): boolean {
    return this.#holds > 0;
  }

  override receiveData(chunk: Buffer, endStream: boolean): void {
    // What comes for a tunnel that was refused belongs to nobody.
    if (this.receivedAll) this.connection.releaseCredit(this, chunk.length);
    else super.receiveData(chunk, endStream);
  }

  protected get withoutContent(): boolean {
    if (this.tunnel) return false;
    return this.request.method === 'HEAD' || hasNoContent(this.#status);
  }

  protected mayWrite(): boolean {
    if (this.headWritten) return true;
    this.#giveUp('http2.data_before_response_head');
    return false;
  }

  protected resetCode(reason: ResetReason): ErrorCode {
    switch (reason) {
      case 'protocolError':
        return ErrorCode.PROTOCOL_ERROR;
      case 'remoteRefused':
        return ErrorCode.REFUSED_STREAM;
      default:
        // RFC 9113 §8.5: whatever became of the connection behind a CONNECT.
        if (this.tunnel && this.request.upgrade === 'connect') return ErrorCode.CONNECT_ERROR;
        return ErrorCode.INTERNAL_ERROR;
    }
  }

  protected onContentMismatch(): void {
    this.#giveUp('http2.outgoing_content_length_mismatch');
  }

  protected isOver(): boolean {
    return this.ended && (!this.tunnel || this.receivedAll);
  }

  /** What was written cannot be sent as it should be. */
  #giveUp(detail: string): void {
    this.connection.abandon(this, ErrorCode.INTERNAL_ERROR);
    this.fail('localReset', detail);
  }
}
