/**
 * An HTTP/2 server of the codec and sockets, nothing else: what a conformance suite talks to.
 *
 *   node test/harness/h2-server.ts [--tls CERT.pem KEY.pem]
 *
 * Prints the port that it listens on at 127.0.0.1. `GET /` is answered with a short text, a body is echoed
 * with its trailers, `/bytes/N` with N bytes.
 */

import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { ResponseHead } from '../../proxy/http/message.ts';
import type { BodySink, ServerStream } from '../../proxy/http/stream.ts';
import { http2ServerOptions } from '../../proxy/http2/connection-options.ts';
import { Http2ServerConnection } from '../../proxy/http2/server-connection.ts';
import { DEFAULT_TRANSPORT_OPTIONS, SocketTransport } from '../../proxy/tcp/socket-transport.ts';
import { TimerLists } from '../../proxy/tcp/timer-list.ts';

const GREETING = Buffer.from('hello, world\n');
const timers = new TimerLists();
const options = http2ServerOptions();

function answer(stream: ServerStream, path: string, endStream: boolean): BodySink {
  const sized = /^\/bytes\/(\d{1,9})$/.exec(path);
  const response = sized === null ? GREETING : Buffer.alloc(Number(sized[1]), 'x');
  if (endStream) {
    stream.writeHead(
      new ResponseHead(200, ['content-type', 'text/plain', 'content-length', `${response.length}`]),
      false,
    );
    stream.writeData(response, true);
  } else {
    stream.writeHead(new ResponseHead(200, ['content-type', 'text/plain']), false);
  }
  return {
    onData(chunk, end) {
      if (!stream.writeData(chunk, end)) stream.pause();
    },
    onTrailers: (trailers) => stream.writeTrailers(trailers),
    onReset() {},
    onDrain: () => stream.resume(),
  };
}

function serve(socket: net.Socket): void {
  const transport = new SocketTransport(socket, timers, DEFAULT_TRANSPORT_OPTIONS);
  const connection = new Http2ServerConnection(
    transport,
    {
      onRequest: (stream, head, endStream) => answer(stream, head.path, endStream),
      onProtocolError() {},
    },
    options,
  );
  transport.attach(connection);
}

const [mode, certFile, keyFile] = process.argv.slice(2);
const server =
  mode === '--tls'
    ? tls.createServer(
        { cert: readFileSync(certFile!), key: readFileSync(keyFile!), ALPNProtocols: ['h2'] },
        serve,
      )
    : net.createServer({ allowHalfOpen: true, noDelay: true }, serve);
server.listen(0, '127.0.0.1', () => {
  console.log((server.address() as net.AddressInfo).port);
});
