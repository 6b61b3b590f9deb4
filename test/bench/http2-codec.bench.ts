/**
 * CPU time of the HTTP/2 codec alone: client and server role in one process, joined by memory, `streams` requests
 * in flight, the writes of a round joined as those of a turn of the event loop would be.
 *
 *   node_modules/node/bin/node test/bench/http2-codec.bench.ts [requests] [streams]
 *
 * On a shared two-core machine, Node 26, 32 streams: GET with a 1 KiB response 2.8 µs, POST of 1 KiB 4.3 µs (both roles
 * together), HPACK 0.1 µs to encode and 0.26 µs to decode nine fields. Over loopback sockets the server role of
 * test/harness/h2-server.ts costs 2.9 to 3.6 µs a request (`h2load -c 4 -m 32`, 1 KiB), node:http2 9.7, nghttpd 1.6.
 */

import { RequestHead, ResponseHead } from '../../proxy/http/message.ts';
import type {
  BodySink,
  ResponseSink,
  ServerHandler,
  ServerStream,
} from '../../proxy/http/stream.ts';
import type { CollectingTransport, WriteSource } from '../../proxy/http/transport.ts';
import { Http2ClientConnection } from '../../proxy/http2/client-connection.ts';
import { http2ClientOptions, http2ServerOptions } from '../../proxy/http2/connection-options.ts';
import { HpackDecoder } from '../../proxy/http2/hpack/hpack-decoder.ts';
import { HpackEncoder } from '../../proxy/http2/hpack/hpack-encoder.ts';
import { Http2ServerConnection } from '../../proxy/http2/server-connection.ts';

const REQUESTS = Number(process.argv[2] ?? 200_000);
const STREAMS = Number(process.argv[3] ?? 32);

const REQUEST_HEADERS = [
  ...['user-agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'],
  ...['accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'],
  ...['accept-encoding', 'gzip, deflate, br, zstd'],
  ...['x-request-id', '9f86d081-884c-4d65-9a2f-eaa0c55ad015'],
  ...['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
];
const RESPONSE_HEADERS = [
  ...['content-type', 'text/html; charset=utf-8', 'content-length', '1024'],
  ...['server', 'app', 'date', 'Tue, 15 Nov 1994 08:12:31 GMT'],
];
const BODY = Buffer.alloc(1024, 'x');

/** Bytes written in a round reach the peer in the next one, joined as `SocketTransport` does. */
class Pipe implements CollectingTransport {
  bytes = 0;
  writes = 0;
  readonly bufferedBytes = 0;
  #source: WriteSource | null = null;
  #chunks: Buffer[] = [];

  write(bytes: Buffer | string): boolean {
    this.bytes += bytes.length;
    this.#chunks.push(bytes as Buffer);
    return true;
  }
  flushLater(source: WriteSource): void {
    this.#source = source;
  }
  /** What a socket would read at the other end, or null. */
  turn(): Buffer | null {
    this.#source?.flush();
    this.#source = null;
    const chunks = this.#chunks;
    if (chunks.length === 0) return null;
    this.#chunks = [];
    this.writes++;
    return Buffer.concat(chunks);
  }
  end(): void {}
  closeAfterFlush(): void {}
  abort(): void {}
  destroy(): void {}
  pauseReading(): void {}
  resumeReading(): void {}
}

const IGNORE: BodySink = { onData() {}, onTrailers() {}, onReset() {}, onDrain() {} };

/** Answers a request with 1 KiB, once its body has come. */
class Responder implements ServerHandler {
  onRequest(stream: ServerStream, _head: RequestHead, endStream: boolean): BodySink {
    if (endStream) this.#answer(stream);
    if (endStream) return IGNORE;
    return { ...IGNORE, onData: (_chunk, end) => end && this.#answer(stream) };
  }
  onProtocolError(_status: number, detail: string): void {
    throw new Error(detail);
  }
  #answer(stream: ServerStream): void {
    stream.writeHead(new ResponseHead(200, RESPONSE_HEADERS), false);
    stream.writeData(BODY, true);
  }
}

function exchange(requests: number, body: Buffer | null): { bytes: number; writes: number } {
  const up = new Pipe();
  const down = new Pipe();
  const client = new Http2ClientConnection(up, { onStreamEnd() {} }, http2ClientOptions());
  const server = new Http2ServerConnection(down, new Responder(), http2ServerOptions());
  let started = 0;
  let ended = 0;
  const sink: ResponseSink = {
    ...IGNORE,
    onInformational() {},
    onResponse() {},
    onData(_chunk, end) {
      if (end) ended++;
    },
    onReset(_reason, detail) {
      throw new Error(detail);
    },
  };
  while (ended < requests) {
    while (started < requests && started - ended < STREAMS) {
      const id = (started++).toString(16).padStart(12, '0');
      const headers = REQUEST_HEADERS.slice();
      headers[7] = `9f86d081-884c-4d65-9a2f-${id}`;
      const head = new RequestHead(
        body === null ? 'GET' : 'POST',
        'http',
        'productpage:9080',
        '/productpage',
        headers,
        'HTTP/1.1',
      );
      const stream = client.request(head, body === null, sink);
      if (body !== null) stream.writeData(body, true);
    }
    const toServer = up.turn();
    if (toServer !== null) server.receive(toServer);
    const toClient = down.turn();
    if (toClient !== null) client.receive(toClient);
  }
  return { bytes: up.bytes + down.bytes, writes: up.writes + down.writes };
}

function report(
  name: string,
  count: number,
  run: () => { bytes: number; writes: number } | undefined,
): void {
  run();
  const before = process.cpuUsage();
  const done = run();
  const { user, system } = process.cpuUsage(before);
  const us = (user + system) / count;
  const rate = Math.round(1e6 / us).toLocaleString('en');
  const more = done === undefined ? '' : `, ${(done.bytes / count).toFixed(0)} bytes`;
  console.log(`${name.padEnd(52)} ${us.toFixed(2)} µs CPU (${rate}/s)${more}`);
}

report('both roles: GET, 1 KiB response', REQUESTS, () => exchange(REQUESTS, null));
report('both roles: POST 1 KiB, 1 KiB response', REQUESTS, () => exchange(REQUESTS, BODY));

const encoder = new HpackEncoder();
const out = Buffer.alloc(4096);
const fields = [
  ':method',
  'GET',
  ':scheme',
  'http',
  ':authority',
  'a:80',
  ':path',
  '/p',
  ...REQUEST_HEADERS,
];
function encode(): number {
  let at = encoder.begin(out, 0);
  for (let index = 0; index < fields.length; index += 2) {
    at = encoder.field(out, at, encoder.slot(fields[index]!), fields[index + 1]!);
  }
  return at;
}
report('HPACK encode, 9 fields', REQUESTS, () => {
  for (let count = 0; count < REQUESTS; count++) encode();
  return undefined;
});
const decoder = new HpackDecoder(4096, 61_440, 100);
const peer = new HpackEncoder();
let decoded = 0;
for (let block = 0; block < 3; block++) {
  let at = peer.begin(out, 0);
  for (let index = 0; index < fields.length; index += 2) {
    const value = index === 14 ? `${block}-884c-4d65-9a2f-eaa0c55ad015` : fields[index + 1]!;
    at = peer.field(out, at, peer.slot(fields[index]!), value);
  }
  if (!decoder.decode(out, 0, at)) throw new Error('undecodable');
  decoded = at;
}
report(`HPACK decode, 9 fields in ${decoded} bytes`, REQUESTS, () => {
  for (let count = 0; count < REQUESTS; count++) decoder.decode(out, 0, decoded);
  return undefined;
});
