import net from 'node:net';
import type { HeaderBlock } from '../../proxy/http/header-block.ts';
import { RequestHead, type ResponseHead } from '../../proxy/http/message.ts';
import type { ClientStream, ResetReason, ResponseSink } from '../../proxy/http/stream.ts';
import { Http2ClientConnection } from '../../proxy/http2/client-connection.ts';
import {
  type Http2ClientOptions,
  http2ClientOptions,
} from '../../proxy/http2/connection-options.ts';
import { DEFAULT_TRANSPORT_OPTIONS, SocketTransport } from '../../proxy/tcp/socket-transport.ts';
import { TimerLists } from '../../proxy/tcp/timer-list.ts';

/** How a request of the client role ended. */
export interface Answered {
  /** 0 where no response came. */
  readonly status: number;
  readonly headers: HeaderBlock;
  readonly informational: readonly number[];
  readonly body: Buffer;
  readonly trailers: HeaderBlock;
  /** '' where the response came whole. */
  readonly reset: ResetReason | '';
  readonly detail: string;
}

const timers = new TimerLists();

/** A connection of the codec's client role on a socket, for tests: requests as promises. */
export class Http2Client {
  readonly socket: net.Socket;
  readonly connection: Http2ClientConnection;
  readonly floods: number[] = [];
  /** GOAWAYs of the server: code and last stream. */
  readonly goaways: string[] = [];
  /** Told when the connection has room for another request, or has become unusable. */
  onChange = () => {};

  private constructor(socket: net.Socket, options: Partial<Http2ClientOptions>) {
    this.socket = socket;
    const transport = new SocketTransport(socket, timers, DEFAULT_TRANSPORT_OPTIONS);
    this.connection = new Http2ClientConnection(
      transport,
      { onStreamEnd: () => this.onChange() },
      http2ClientOptions(options),
      {
        onFlood: (kind) => void this.floods.push(kind),
        onGoaway: (code, last) => void this.goaways.push(`${code} ${last}`),
        onSettingsPending() {},
        onSendStalled() {},
        onPong() {},
      },
    );
    transport.attach(this.connection);
  }

  static async connect(
    port: number,
    options: Partial<Http2ClientOptions> = {},
  ): Promise<Http2Client> {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new Http2Client(socket, options);
  }

  /** `body` is written as it is allowed; `trailers` end the request. */
  request(
    method: string,
    path: string,
    extra: { headers?: HeaderBlock; body?: Buffer; trailers?: HeaderBlock } = {},
  ): Promise<Answered> {
    const { headers = [], body, trailers } = extra;
    return new Promise((resolve) => {
      const sink = new Collector(resolve);
      const head = new RequestHead(method, 'http', 'origin.example', path, headers, 'HTTP/1.1');
      const endStream = body === undefined && trailers === undefined;
      const stream = this.connection.request(head, endStream, sink);
      if (!endStream) sink.send(stream, body ?? Buffer.alloc(0), trailers);
    });
  }

  close(): void {
    this.socket.destroy();
  }
}

const PIECE_BYTES = 50_000;

/** Writes the request as far as it may, and collects the response. */
class Collector implements ResponseSink {
  readonly #resolve: (answered: Answered) => void;
  #stream: ClientStream | null = null;
  #body: Buffer = Buffer.alloc(0);
  #trailers: HeaderBlock | undefined;
  #status = 0;
  #headers: HeaderBlock = [];
  readonly #informational: number[] = [];
  readonly #parts: Buffer[] = [];

  constructor(resolve: (answered: Answered) => void) {
    this.#resolve = resolve;
  }

  send(stream: ClientStream, body: Buffer, trailers: HeaderBlock | undefined): void {
    this.#stream = stream;
    this.#body = body;
    this.#trailers = trailers;
    this.onDrain();
  }

  onDrain(): void {
    const stream = this.#stream;
    while (stream !== null) {
      const piece = this.#body.subarray(0, PIECE_BYTES);
      this.#body = this.#body.subarray(piece.length);
      const last = this.#body.length === 0;
      const flowing = stream.writeData(piece, last && this.#trailers === undefined);
      if (last) {
        this.#stream = null;
        if (this.#trailers !== undefined) stream.writeTrailers(this.#trailers);
        return;
      }
      if (!flowing) return;
    }
  }
  onInformational(head: ResponseHead): void {
    this.#informational.push(head.status);
  }
  onResponse(head: ResponseHead, endStream: boolean): void {
    this.#status = head.status;
    this.#headers = head.headers;
    if (endStream) this.#end([], '', '');
  }
  onData(chunk: Buffer, endStream: boolean): void {
    this.#parts.push(chunk);
    if (endStream) this.#end([], '', '');
  }
  onTrailers(trailers: HeaderBlock): void {
    this.#end(trailers, '', '');
  }
  onReset(reason: ResetReason, detail: string): void {
    this.#end([], reason, detail);
  }

  #end(trailers: HeaderBlock, reset: Answered['reset'], detail: string): void {
    this.#stream = null;
    this.#resolve({
      status: this.#status,
      headers: this.#headers,
      informational: this.#informational,
      body: Buffer.concat(this.#parts),
      trailers,
      reset,
      detail,
    });
  }
}
