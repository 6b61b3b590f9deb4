import type { HeaderBlock } from '../http/header-block.ts';
import { ResponseHead } from '../http/message.ts';
import type { ClientStream, ResetReason } from '../http/stream.ts';
import type { Transport } from '../http/transport.ts';
import type {
  StreamFailure,
  UpstreamConnectionInfo,
  UpstreamSink,
  UpstreamTunnelSink,
} from '../upstream/upstream.ts';

/**
 * A plain connection dressed as a client stream, so that a CONNECT request that ends here is one more
 * exchange to the router: the connection being open is a 200 that turns into a tunnel, its FIN is
 * END_STREAM, its loss a reset.
 */
export class TcpUpstream implements UpstreamTunnelSink, ClientStream {
  readonly #sink: UpstreamSink;
  #transport: Transport | null = null;
  #sentEnd = false;
  #receivedEnd = false;
  #closed = false;

  constructor(sink: UpstreamSink) {
    this.#sink = sink;
  }

  onReady(transport: Transport, connection: UpstreamConnectionInfo): void {
    this.#transport = transport;
    this.#sink.onStreamReady(this, connection);
    if (this.#closed) return;
    const head = new ResponseHead(200, []);
    head.upgrade = true;
    this.#sink.onResponse(head, false);
  }

  onFailure(failure: StreamFailure, detail: string): void {
    this.#sink.onStreamFailure(failure, detail);
  }

  onData(bytes: Buffer): void {
    if (!this.#closed) this.#sink.onData(bytes, false);
  }

  onEnd(): void {
    if (this.#closed || this.#receivedEnd) return;
    this.#receivedEnd = true;
    this.#sink.onData(NO_BYTES, true);
    this.#closeWhenDone();
  }

  onClose(detail: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#sink.onReset('connectionTermination', detail);
  }

  onDrain(): void {
    if (!this.#closed) this.#sink.onDrain();
  }

  writeData(chunk: Buffer, endStream: boolean): boolean {
    const transport = this.#transport;
    if (transport === null || this.#closed || this.#sentEnd) return true;
    const writable = chunk.length === 0 || transport.write(chunk);
    if (endStream) {
      this.#sentEnd = true;
      transport.end();
      this.#closeWhenDone();
    }
    return writable;
  }

  /** A tunnel has no trailers: the end is all that is passed on. */
  writeTrailers(_trailers: HeaderBlock): void {
    this.writeData(NO_BYTES, true);
  }

  /** RFC 9113 §8.5: an error of the stream is a RST of the connection, never a FIN (I4). */
  reset(_reason: ResetReason): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#transport?.abort();
  }

  pause(): void {
    this.#transport?.pauseReading();
  }

  resume(): void {
    this.#transport?.resumeReading();
  }

  #closeWhenDone(): void {
    if (!this.#sentEnd || !this.#receivedEnd) return;
    this.#closed = true;
    // A peer that does not take the last bytes has only so long for them.
    this.#transport?.closeAfterFlush();
  }
}

const NO_BYTES = Buffer.alloc(0);
