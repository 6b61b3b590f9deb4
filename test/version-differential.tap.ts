import { once } from 'node:events';
import { createServer } from 'node:http';
import http2 from 'node:http2';
import { type AddressInfo, connect } from 'node:net';
import t from 'tap';
import { freePorts } from '../cli/run/free-port.ts';
import { FrameHead, readFrameHead } from '../proxy/http2/frame/frame-head.ts';
import { CONNECTION_PREFACE } from '../proxy/http2/frame-reader.ts';
import { HpackDecoder } from '../proxy/http2/hpack/hpack-decoder.ts';
import {
  data,
  describeFrames,
  END_STREAM,
  headers,
  settings,
} from '../proxy/http2/wire.testing.ts';
import { noEnvoy } from './harness/envoy.ts';
import { EnvoyProcess } from './harness/envoy-process.ts';
import { rawExchange } from './harness/raw-exchange.ts';
import { httpListener, staticCluster, staticProxy } from './harness/static-proxy.ts';

/**
 * One configuration given to Envoy and to Weft, requests of HTTP/2 and HTTP/1.1 sent to both as bytes, to an app of
 * HTTP/1.1 and to one of HTTP/2: what comes back, and what the app saw, is compared.
 */

t.setTimeout(120_000);

const OPTIONS = 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/** `trailers`: Envoy drops those of HTTP/1.1 unless told otherwise, Weft passes them always. */
function resources(port: number, http1: number, http2Port: number, envoy: boolean): object {
  const trailers = envoy ? { http_protocol_options: { enable_trailers: true } } : {};
  const protocol = (config: object) => ({
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': OPTIONS,
        explicit_http_config: config,
      },
    },
  });
  const to = (prefix: string, cluster: string) => ({ match: { prefix }, route: { cluster } });
  return {
    listeners: [
      httpListener(
        port,
        [{ name: 'all', domains: ['*'], routes: [to('/1/', 'http1'), to('/2/', 'http2')] }],
        {
          codec_type: 'AUTO',
          http2_protocol_options: { allow_connect: true },
          upgrade_configs: [{ upgrade_type: 'websocket' }],
          normalize_path: true,
          ...trailers,
        },
      ),
    ],
    clusters: [
      staticCluster('http1', [http1], protocol(envoy ? trailers : { http_protocol_options: {} })),
      staticCluster('http2', [http2Port], protocol({ http2_protocol_options: {} })),
    ],
  };
}

// --- the apps: what they saw is their answer ----------------------------------------------------

interface Exchange {
  readonly url: string;
  head(status: number, fields: Record<string, string | string[]>): void;
  informational(): void;
  write(text: string): void;
  end(trailers?: Record<string, string>): void;
  cut(): void;
}

function answer(exchange: Exchange, seen: () => object): void {
  const kind = exchange.url.split('/')[2]?.split('?')[0];
  switch (kind) {
    case '204':
    case '304':
      exchange.head(Number(kind), { etag: '"x"' });
      exchange.end();
      return;
    case 'cookies':
      exchange.head(200, { 'set-cookie': ['a=1', 'b=2'], 'content-length': '0' });
      exchange.end();
      return;
    case 'trailers':
      exchange.head(200, { trailer: 'x-t' });
      exchange.write('body');
      exchange.end({ 'x-t': '1' });
      return;
    case 'big':
      // More than the 60 KiB that a proxy takes of an upstream.
      exchange.head(200, { 'x-a': 'v'.repeat(32_000), 'x-b': 'v'.repeat(32_000) });
      exchange.end();
      return;
    case 'hints':
      exchange.informational();
      exchange.head(200, { 'content-length': '2' });
      exchange.write('ok');
      exchange.end();
      return;
    case 'cut':
      exchange.head(200, {});
      exchange.write('part');
      setImmediate(() => exchange.cut());
      return;
    default: {
      const text = JSON.stringify(seen());
      exchange.head(200, { 'content-length': `${Buffer.byteLength(text)}` });
      exchange.write(text);
      exchange.end();
    }
  }
}

async function http1App() {
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('latin1').on('data', (text: string) => {
      body += text;
    });
    request.on('error', () => {});
    request.on('end', () => {
      const { method, url = '', rawHeaders, trailers } = request;
      answer(
        {
          url,
          head: (status, fields) => response.writeHead(status, fields),
          informational: () => response.writeEarlyHints({ link: '</a>; rel=preload' }),
          write: (text) => response.write(text),
          end: (fields) => {
            if (fields !== undefined) response.addTrailers(fields);
            response.end();
          },
          cut: () => request.socket.resetAndDestroy(),
        },
        () => ({ method, url, fields: pairs(rawHeaders), body, trailers }),
      );
    });
  });
  server.on('upgrade', (request, socket) => {
    socket.on('error', () => {});
    socket.end(
      `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-method: ${request.method}\r\n` +
        `sec-websocket-protocol: chat\r\n\r\nhello`,
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function http2App() {
  const server = http2.createServer({ settings: { enableConnectProtocol: true } });
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on('session', (session) => sessions.add(session));
  server.on(
    'stream',
    (stream: http2.ServerHttp2Stream, fields: http2.IncomingHttpHeaders, _flags, raw: string[]) => {
      let body = '';
      let trailers: object = {};
      stream.on('error', () => {});
      stream.on('trailers', (got: object) => {
        trailers = { ...got };
      });
      if (fields[':protocol'] !== undefined) {
        stream.respond({ ':status': 200, 'sec-websocket-protocol': 'chat', 'x-method': 'GET' });
        stream.end('hello');
        return;
      }
      stream.setEncoding('latin1').on('data', (text: string) => {
        body += text;
      });
      stream.on('end', () => {
        // The proxy has reset it by now: a request that turned out malformed.
        if (stream.destroyed) return;
        let left: Record<string, string> | undefined;
        stream.on('wantTrailers', () => stream.sendTrailers(left ?? {}));
        const url = String(fields[':path']);
        answer(
          {
            url,
            head: (status, given) =>
              stream.respond({ ':status': status, ...given }, { waitForTrailers: true }),
            informational: () =>
              stream.additionalHeaders({ ':status': 103, link: '</a>; rel=preload' }),
            write: (text) => stream.write(text),
            end: (given) => {
              left = given;
              stream.end();
            },
            cut: () => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR),
          },
          () => ({ method: fields[':method'], url, fields: pairs(raw), body, trailers }),
        );
      });
    },
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      for (const session of sessions) session.destroy();
      server.close();
    },
  };
}

/** Fields that proxies write by themselves, or that differ by nature. */
const OWN =
  /^(date|server|x-request-id|x-envoy-.*|content-length|connection|transfer-encoding|keep-alive|sec-websocket-key|:method|:path)$/;

function pairs(raw: readonly string[]): string[] {
  const lines: string[] = [];
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!.toLowerCase();
    if (!OWN.test(name)) lines.push(`${name}: ${raw[at + 1]}`);
  }
  return lines.sort();
}

// --- the clients ----------------------------------------------------------------------------------

/** One stream of one connection, as bytes; what came back, once it has ended. */
function exchange2(port: number, ...parts: readonly Buffer[]): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const socket = connect({ port, host: '127.0.0.1' }, () => {
      socket.write(
        Buffer.concat([Buffer.from(CONNECTION_PREFACE, 'latin1'), settings(), ...parts]),
      );
    });
    const finish = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(read2(received));
    };
    const timer = setTimeout(finish, 5_000);
    socket.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes]);
      if (streamEnded(received)) finish();
    });
    socket.on('close', finish);
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error);
    });
  });
}

/** Whether stream 1, or the connection, has been ended by the peer. */
function streamEnded(bytes: Buffer): boolean {
  const head = new FrameHead();
  for (let at = 0; at + 9 <= bytes.length; at += 9 + head.length) {
    readFrameHead(bytes, at, head);
    if (at + 9 + head.length > bytes.length) return false;
    if (head.type === 7 || head.type === 3) return true;
    if (head.streamId === 1 && (head.type === 0 || head.type === 1) && (head.flags & 1) !== 0) {
      return true;
    }
  }
  return false;
}

interface Answer {
  readonly status: string;
  readonly interim: readonly string[];
  readonly fields: readonly string[];
  readonly body: unknown;
  readonly trailers: readonly string[];
  /** How it ended: `end`, or a reset or a lost connection. */
  readonly ended: string;
}

function read2(bytes: Buffer): Answer {
  const lines = describeFrames(wholeFrames(bytes), new HpackDecoder(4096, 1 << 20, 1000));
  const interim: string[] = [];
  let status = '';
  let fields: string[] = [];
  let trailers: string[] = [];
  let body = '';
  let ended = 'open';
  for (const line of lines) {
    if (line.startsWith('Headers 1')) {
      const found = [...line.matchAll(/\[(:?[^:]+): ([^\]]*)\]/g)].flatMap((match) => [
        match[1]!,
        match[2]!,
      ]);
      const code = found[0] === ':status' ? found[1]! : '';
      if (code.startsWith('1')) interim.push(code);
      else if (code !== '') {
        status = code;
        fields = pairs(found.slice(2));
      } else trailers = pairs(found);
    }
    if (line.startsWith('Data 1')) body += line.slice(7).replace(/ end$/, '');
    if (/^(Headers|Data) 1.* end$/.test(line)) ended = 'end';
    if (line.startsWith('RstStream 1') || line.startsWith('Goaway')) {
      ended = ended === 'end' ? ended : 'reset';
    }
  }
  return { status, interim, fields, body: json(body), trailers, ended };
}

function wholeFrames(bytes: Buffer): Buffer {
  const head = new FrameHead();
  let at = 0;
  while (at + 9 <= bytes.length) {
    readFrameHead(bytes, at, head);
    if (at + 9 + head.length > bytes.length) break;
    at += 9 + head.length;
  }
  return bytes.subarray(0, at);
}

async function exchange1(port: number, text: string): Promise<Answer> {
  const { text: got } = await rawExchange(port, text, { timeoutMs: 5_000 }).catch(() => ({
    text: '',
  }));
  const interim: string[] = [];
  let rest = got;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    const [start = '', ...lines] = rest.slice(0, Math.max(end, 0)).split('\r\n');
    const status = start.replace(/^HTTP\/1\.[01] (\d+).*$/, '$1');
    rest = rest.slice(end + 4);
    if (status.startsWith('1') && status !== '101') {
      interim.push(status);
      continue;
    }
    const raw = lines.flatMap((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    });
    let body = rest;
    let trailers: string[] = [];
    let ended = 'end';
    if (/^transfer-encoding: chunked$/im.test(lines.join('\n'))) {
      const last = /(?:^|\r\n)0\r\n((?:.+\r\n)*)\r\n$/.exec(rest);
      ended = last === null ? 'reset' : 'end';
      trailers = pairs(
        (last?.[1] ?? '')
          .split('\r\n')
          .filter((line) => line !== '')
          .flatMap((line) => line.split(': ')),
      );
      body = '';
      for (let at = 0; at < rest.length; ) {
        const size = Number.parseInt(rest.slice(at), 16);
        if (!(size > 0)) break;
        const from = rest.indexOf('\r\n', at) + 2;
        body += rest.slice(from, from + size);
        at = from + size + 2;
      }
    }
    if (status === '') ended = 'reset';
    return { status, interim, fields: pairs(raw), body: json(body), trailers, ended };
  }
}

/** An echo as an object, a local reply as nothing: their texts are the business of each proxy. */
function json(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

// --- the rows -------------------------------------------------------------------------------------

interface Row2 {
  readonly pseudo?: readonly string[];
  readonly fields?: readonly string[];
  readonly path?: string;
  readonly body?: readonly string[];
  readonly trailers?: readonly string[];
}

const GET: Row2 = {};
const POST = [':method', 'POST', ':scheme', 'http', ':authority', 'a.example'];

/** `path` gets `/1` or `/2` in front. */
const ROWS2: readonly (readonly [string, Row2])[] = [
  ['GET', GET],
  ['HEAD', { pseudo: [':method', 'HEAD', ':scheme', 'http', ':authority', 'a.example'] }],
  ['POST of unknown length', { pseudo: POST, body: ['a', 'b'] }],
  ['POST with content-length', { pseudo: POST, fields: ['content-length', '2'], body: ['a', 'b'] }],
  ['POST of length 0', { pseudo: POST, fields: ['content-length', '0'] }],
  ['trailers', { pseudo: POST, fields: ['te', 'trailers'], body: ['a'], trailers: ['x-t', '1'] }],
  ['cookie crumbs (RFC 9113 §8.2.3)', { fields: ['cookie', 'a=1', 'cookie', 'b=2'] }],
  ['repeated fields', { fields: ['x-a', '1', 'x-a', '2'] }],
  ['obs-text', { fields: ['x-a', 'a\xe9\xff'] }],
  ['query and dot segments', { path: '/a/../b?x=1' }],
  ['host equal to :authority', { fields: ['host', 'a.example'] }],
  ['host other than :authority', { fields: ['host', 'b.example'] }],
  ['host alone', { pseudo: [':method', 'GET', ':scheme', 'http'], fields: ['host', 'b.example'] }],
  ['no authority', { pseudo: [':method', 'GET', ':scheme', 'http'] }],
  ['userinfo', { pseudo: [':method', 'GET', ':scheme', 'http', ':authority', 'u@a.example'] }],
  [
    'scheme https on plain text',
    { pseudo: [':method', 'GET', ':scheme', 'https', ':authority', 'a.example'] },
  ],
  ['unknown scheme', { pseudo: [':method', 'GET', ':scheme', 'ftp', ':authority', 'a.example'] }],
  [
    'unknown method',
    { pseudo: [':method', 'PURGE', ':scheme', 'http', ':authority', 'a.example'] },
  ],
  [
    'extended CONNECT (RFC 8441)',
    {
      pseudo: [
        ...[':method', 'CONNECT', ':protocol', 'websocket'],
        ...[':scheme', 'http', ':authority', 'a.example'],
      ],
      fields: ['sec-websocket-version', '13'],
      body: ['hi'],
    },
  ],
  ['no method', { pseudo: [':scheme', 'http', ':authority', 'a.example'] }],
  ['te: gzip', { fields: ['te', 'gzip'] }],
  ['connection', { fields: ['connection', 'close'] }],
  ['transfer-encoding', { fields: ['transfer-encoding', 'chunked'] }],
  ['upgrade', { fields: ['upgrade', 'websocket'] }],
  ['a name in capitals', { fields: ['X-A', '1'] }],
  ['CRLF in a value', { fields: ['x', 'a\r\nb: 1'] }],
  ['NUL in a value', { fields: ['x', 'a\0'] }],
  ['a colon in a name', { fields: ['x:y', '1'] }],
  ['a blank in a name', { fields: ['x y', '1'] }],
  ['a blank in the path', { path: '/a b' }],
  ['a blank at the end of a value', { fields: ['x', 'a '] }],
  [
    'fewer bytes than content-length',
    { pseudo: POST, fields: ['content-length', '5'], body: ['ab'] },
  ],
  [
    'more bytes than content-length',
    { pseudo: POST, fields: ['content-length', '1'], body: ['ab'] },
  ],
  [
    'two content-lengths',
    { pseudo: POST, fields: ['content-length', '1', 'content-length', '2'], body: ['a'] },
  ],
  ['content-length +1', { pseudo: POST, fields: ['content-length', '+1'], body: ['a'] }],
  ['Expect: 100-continue', { pseudo: POST, fields: ['expect', '100-continue'], body: ['a'] }],
  [
    '64 KiB of fields (PR-14)',
    { fields: ['a', 'b', 'c', 'd'].flatMap((name) => [`x-${name}`, 'v'.repeat(16_000)]) },
  ],
  ['101 fields', { fields: Array.from({ length: 101 }, (_, at) => [`x-${at}`, 'v']).flat() }],
  ['response without content: 204', { path: '/204' }],
  ['response without content: 304', { path: '/304' }],
  ['set-cookie', { path: '/cookies' }],
  ['response trailers', { path: '/trailers', fields: ['te', 'trailers'] }],
  ['103', { path: '/hints' }],
  ['a response head beyond 60 KiB', { path: '/big' }],
  ['a response that is cut (I4)', { path: '/cut' }],
];

const H = 'host: a.example\r\nconnection: close\r\n';
const ROWS1: readonly (readonly [string, (prefix: string) => string])[] = [
  ['GET', (p) => `GET ${p}/ HTTP/1.1\r\n${H}\r\n`],
  ['HEAD', (p) => `HEAD ${p}/ HTTP/1.1\r\n${H}\r\n`],
  ['POST with content-length', (p) => `POST ${p}/ HTTP/1.1\r\n${H}content-length: 2\r\n\r\nab`],
  ['POST without', (p) => `POST ${p}/ HTTP/1.1\r\n${H}\r\n`],
  [
    'chunked with trailers',
    (p) =>
      `POST ${p}/ HTTP/1.1\r\n${H}te: trailers\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-t: 1\r\n\r\n`,
  ],
  ['two cookie fields', (p) => `GET ${p}/ HTTP/1.1\r\n${H}cookie: a=1\r\ncookie: b=2\r\n\r\n`],
  [
    'hop-by-hop fields',
    (p) =>
      `GET ${p}/ HTTP/1.1\r\nhost: a.example\r\nconnection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: x\r\n\r\n`,
  ],
  [
    'h2c upgrade',
    (p) =>
      `GET ${p}/ HTTP/1.1\r\nhost: a.example\r\nconnection: close, upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n`,
  ],
  ['absolute form', (p) => `GET http://b.example${p}/x HTTP/1.1\r\n${H}\r\n`],
  ['absolute form of https', (p) => `GET https://b.example${p}/x HTTP/1.1\r\n${H}\r\n`],
  ['obs-text', (p) => `GET ${p}/ HTTP/1.1\r\n${H}x-a: a\xe9\xff\r\n\r\n`],
  ['a blank at the end of a value', (p) => `GET ${p}/ HTTP/1.1\r\n${H}x-a: a \r\n\r\n`],
  [
    'WebSocket (RFC 8441)',
    (p) =>
      `GET ${p}/ws HTTP/1.1\r\nhost: a.example\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  ],
  [
    'another upgrade',
    (p) =>
      `GET ${p}/ HTTP/1.1\r\nhost: a.example\r\nconnection: upgrade, close\r\nupgrade: chat\r\n\r\n`,
  ],
  ['response without content: 204', (p) => `GET ${p}/204 HTTP/1.1\r\n${H}\r\n`],
  ['response without content: 304', (p) => `GET ${p}/304 HTTP/1.1\r\n${H}\r\n`],
  ['set-cookie', (p) => `GET ${p}/cookies HTTP/1.1\r\n${H}\r\n`],
  ['response trailers', (p) => `GET ${p}/trailers HTTP/1.1\r\n${H}te: trailers\r\n\r\n`],
  ['103', (p) => `GET ${p}/hints HTTP/1.1\r\n${H}\r\n`],
  ['a response head beyond 60 KiB', (p) => `GET ${p}/big HTTP/1.1\r\n${H}\r\n`],
  ['a response that is cut (I4)', (p) => `GET ${p}/cut HTTP/1.1\r\n${H}\r\n`],
];

function bytes2(
  { pseudo, fields = [], path = '/', body = [], trailers }: Row2,
  prefix: string,
): Buffer[] {
  const given = pseudo ?? [':method', 'GET', ':scheme', 'http', ':authority', 'a.example'];
  const ends = body.length === 0 && trailers === undefined;
  const block = [...given, ':path', `${prefix}${path}`, ...fields];
  const parts = splitHeaders(headers(1, ends ? END_STREAM : 0, ...block));
  body.forEach((text, index) => {
    const last = trailers === undefined && index === body.length - 1;
    parts.push(data(1, last ? END_STREAM : 0, text));
  });
  if (trailers !== undefined) parts.push(headers(1, END_STREAM, ...trailers));
  return parts;
}

/** A HEADERS frame of more than 16 KiB as HEADERS and CONTINUATION. */
function splitHeaders(frame: Buffer): Buffer[] {
  const payload = frame.subarray(9);
  if (payload.length <= 16_384) return [frame];
  const parts: Buffer[] = [];
  for (let at = 0; at < payload.length; at += 16_384) {
    const piece = payload.subarray(at, at + 16_384);
    const head = Buffer.from(frame.subarray(0, 9));
    head.writeUIntBE(piece.length, 0, 3);
    head[3] = at === 0 ? 1 : 9;
    head[4] = (at === 0 ? frame[4]! & 1 : 0) | (at + 16_384 >= payload.length ? 4 : 0);
    parts.push(head, piece);
  }
  return parts;
}

/**
 * Where Weft knowingly answers otherwise than this Envoy, by row, or by versions and row. `rest`: the status is the
 * same, something else is not; `status`: the end differs too.
 */
const DIFFERS = new Map<string, readonly ['status' | 'rest', string]>([
  ['host other than :authority', ['status', 'RFC 9113 §8.3.1: malformed; Envoy drops host']],
  ['unknown scheme', ['status', 'neither http nor https: refused; Envoy takes it for http']],
  [
    'a blank at the end of a value',
    ['status', 'RFC 9113 §8.2.1: malformed; Envoy takes the blank off'],
  ],
  ['64 KiB of fields (PR-14)', ['status', 'RFC 6585 §5: 431 as in HTTP/1.1; Envoy resets']],
  ['101 fields', ['status', 'RFC 6585 §5: 431 as in HTTP/1.1; Envoy resets']],
  [
    'a response head beyond 60 KiB',
    ['status', '502 whatever the versions; Envoy passes it, resets or answers 503'],
  ],
  ['103', ['rest', 'RFC 9110 §15.2: a proxy forwards 1xx; Envoy drops all but 100']],
  [
    '2 → 1: extended CONNECT (RFC 8441)',
    ['rest', 'the FIN of the app is END_STREAM; Envoy resets the stream'],
  ],
  [
    '1.1 → 2: WebSocket (RFC 8441)',
    ['rest', 'RFC 6455 §4.1: the client needs sec-websocket-accept; Envoy leaves it out'],
  ],
]);
/** In HTTP/1.1 blanks around a value belong to its line, not to it (RFC 9112 §5). */
const ALIKE = new Set([
  '1.1 → 1: a blank at the end of a value',
  '1.1 → 2: a blank at the end of a value',
]);

t.test('Envoy and Weft carry messages between versions alike', { skip: noEnvoy() }, async (t) => {
  const [app1, app2] = await Promise.all([http1App(), http2App()]);
  const [weftPort, envoyPort] = await freePorts(2);
  const proxy = await staticProxy(resources(weftPort!, app1.port, app2.port, false));
  const envoy = new EnvoyProcess(() => ({
    bootstrap: {
      node: { id: 'test', cluster: 'test' },
      static_resources: resources(envoyPort!, app1.port, app2.port, true),
    },
  }));
  t.teardown(async () => {
    await envoy.stop();
    await proxy.stop();
    app1.close();
    app2.close();
  });
  await envoy.untilLive();

  const rows: { name: string; run: (port: number) => Promise<Answer> }[] = [];
  for (const up of ['1', '2']) {
    for (const [name, row] of ROWS2) {
      rows.push({
        name: `2 → ${up}: ${name}`,
        run: (port) => exchange2(port, ...bytes2(row, `/${up}`)),
      });
    }
    for (const [name, text] of ROWS1) {
      rows.push({ name: `1.1 → ${up}: ${name}`, run: (port) => exchange1(port, text(`/${up}`)) });
    }
  }
  const answers = await Promise.all(
    rows.map(async ({ name, run }) => {
      const [ours, theirs] = await Promise.all([run(weftPort!), run(envoyPort!)]);
      return { name, ours, theirs };
    }),
  );
  for (const { name, ours, theirs } of answers) {
    if (name.includes('that is cut')) {
      // How much of it has left before the cut is a matter of turns; that it is cut is not.
      for (const { ended, status } of [ours!, theirs!])
        t.ok(ended === 'reset' || status === '', name);
      continue;
    }
    const plain = name.replace(/^.* → .: /, '');
    const known = ALIKE.has(name) ? undefined : (DIFFERS.get(name) ?? DIFFERS.get(plain));
    if (known === undefined) t.same(comparable(ours!), comparable(theirs!), name);
    else {
      const [what, why] = known;
      if (what === 'rest') t.equal(ours!.status, theirs!.status, `${name} (but for: ${why})`);
      t.notSame(comparable(ours!), comparable(theirs!), `${name} (${why})`);
    }
  }
});

/** Local replies have their own bodies and fields; a refusal is one, whether by status or by reset. */
function comparable(answer: Answer): unknown {
  const refused = answer.status === '' || answer.status === '400';
  if (refused) return 'refused';
  if (Number(answer.status) >= 400) return { status: answer.status, ended: answer.ended };
  return answer;
}
