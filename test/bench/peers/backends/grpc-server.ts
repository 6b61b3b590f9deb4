/**
 * A gRPC server of Weft's own HTTP/2 codec, in clear text, for loads that h2load can make: `/unary` answers with one
 * message, `/stream/N` with N of them, each from a turn of the event loop of its own. Prints its port on 127.0.0.1.
 */
import net from 'node:net';
import type { HeaderBlock } from '../../../../proxy/http/header-block.ts';
import { ResponseHead } from '../../../../proxy/http/message.ts';
import type { BodySink, ServerStream } from '../../../../proxy/http/stream.ts';
import { http2ServerOptions } from '../../../../proxy/http2/connection-options.ts';
import { Http2ServerConnection } from '../../../../proxy/http2/server-connection.ts';
import {
  DEFAULT_TRANSPORT_OPTIONS,
  SocketTransport,
} from '../../../../proxy/tcp/socket-transport.ts';
import { TimerLists } from '../../../../proxy/tcp/timer-list.ts';
import { grpcMessage } from './grpc-message.ts';

const MESSAGE = grpcMessage();
const timers = new TimerLists();
const options = http2ServerOptions({ streamsMax: 1000 });

/** Takes the request whole, then answers; stands still while its reader does. */
class Call implements BodySink {
  readonly #stream: ServerStream;
  #messagesLeft: number;
  #blocked = false;
  #over = false;

  constructor(stream: ServerStream, messages: number) {
    this.#stream = stream;
    this.#messagesLeft = messages;
  }

  onData(_chunk: Buffer, endStream: boolean): void {
    if (endStream) this.answer();
  }

  onTrailers(): void {
    this.answer();
  }

  onReset(): void {
    this.#over = true;
  }

  onDrain(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#next();
  }

  answer(): void {
    this.#stream.writeHead(new ResponseHead(200, ['content-type', 'application/grpc']), false);
    this.#next();
  }

  #next(): void {
    if (this.#over) return;
    if (this.#messagesLeft === 0) {
      this.#stream.writeTrailers(TRAILERS);
      return;
    }
    this.#messagesLeft -= 1;
    this.#blocked = !this.#stream.writeData(MESSAGE, false);
    if (this.#blocked) return;
    if (this.#messagesLeft === 0) this.#next();
    else setImmediate(() => this.#next());
  }
}

const TRAILERS: HeaderBlock = ['grpc-status', '0'];

const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  const transport = new SocketTransport(socket, timers, DEFAULT_TRANSPORT_OPTIONS);
  const connection = new Http2ServerConnection(
    transport,
    {
      onRequest(stream, head, endStream) {
        const streamed = /^\/stream\/(\d{1,6})$/.exec(head.path);
        const call = new Call(stream, streamed === null ? 1 : Number(streamed[1]));
        if (endStream) call.answer();
        return call;
      },
      onProtocolError() {},
    },
    options,
  );
  transport.attach(connection);
});
server.listen(0, '127.0.0.1', () => {
  console.log(`listening ${(server.address() as net.AddressInfo).port}`);
});
