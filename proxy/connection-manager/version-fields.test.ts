import { describe, expect, test } from 'vitest';
import type { MemoryEnd } from '../../test/memory-network.ts';
import {
  type RawEnd,
  type Version,
  type VersionPath,
  versionPath,
} from '../../test/version-path.ts';
import { ResponseHead } from '../http/message.ts';
import { CONNECTION_PREFACE } from '../http2/frame-reader.ts';
import { HpackDecoder } from '../http2/hpack/hpack-decoder.ts';
import { describeFrames, END_STREAM, headers, settings } from '../http2/wire.testing.ts';

/** Fields and targets between versions: what is carried, what is dropped and where, what is refused. */

const GET2 = [':method', 'GET', ':scheme', 'http', ':path', '/'];

/** One HTTP/2 request in plain bytes; what came back, as lines. */
function ask2(path: VersionPath, ...fields: readonly string[]): string[] {
  const client = path.rawClient();
  client.send(CONNECTION_PREFACE, settings(), headers(1, END_STREAM, ...fields));
  return frames(client);
}

function frames(client: RawEnd): string[] {
  return describeFrames(client.bytes, new HpackDecoder(4096, 1 << 20, 1000)).filter((line) =>
    /^(Headers|Data|RstStream|Goaway)/.test(line),
  );
}

function ask1(path: VersionPath, text: string): string {
  return path.rawClient().send(text).text;
}

/** A path whose app answers 200 to everything. */
function answering(...versions: Version[]): VersionPath {
  const path = versionPath(versions, { routePrefix: '' });
  path.app.onComplete = (request) => request.respond(200, { body: ['ok'] });
  return path;
}

const REFUSED = /^(Headers 1 \[:status: 400\]|RstStream 1 PROTOCOL_ERROR)/;

describe.each([['1.1'], ['2']] as const)('upstream HTTP/%s', (up) => {
  test('cookie crumbs are one field, joined with "; " (RFC 9113 §8.2.3)', () => {
    const path = answering('2', up);
    ask2(
      path,
      ...GET2,
      ':authority',
      'a',
      'cookie',
      'a=1',
      'x',
      'y',
      'cookie',
      'b=2',
      'cookie',
      'c=3',
    );
    expect(path.app.last.fields).toEqual(['cookie: a=1; b=2; c=3', 'x: y']);
  });

  test('set-cookie fields are never joined (RFC 9110 §5.3)', () => {
    for (const down of ['1.1', '2'] as const) {
      const path = versionPath([down, up]);
      path.app.onComplete = (request) =>
        request.respond(200, { headers: ['set-cookie', 'a=1', 'set-cookie', 'b=2; Path=/'] });
      expect(path.request().fields).toEqual(['set-cookie: a=1', 'set-cookie: b=2; Path=/']);
    }
  });

  test('repeated fields stay apart and in order, names in lower case (RFC 9110 §5.3)', () => {
    const path = answering('1.1', up);
    ask1(path, 'GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-b: 2\r\nX-a: 3\r\nx-empty:\r\n\r\n');
    expect(path.app.last.fields).toEqual(['x-a: 1', 'x-b: 2', 'x-a: 3', 'x-empty: ']);
  });

  test('obs-text passes byte by byte (RFC 9110 §5.5)', () => {
    for (const down of ['1.1', '2'] as const) {
      const path = versionPath([down, up]);
      path.app.onComplete = (request) =>
        request.respond(200, { headers: ['x-answer', request.field('x-ask') ?? ''] });
      const every = Array.from({ length: 128 }, (_, at) => String.fromCharCode(128 + at)).join('');
      const answer = path.request({ headers: ['x-ask', `a\t${every} z`] });
      expect(path.app.last.field('x-ask')).toBe(`a\t${every} z`);
      expect(answer.field('x-answer')).toBe(`a\t${every} z`);
    }
  });

  test('host and :authority that say the same are one (RFC 9113 §8.3.1)', () => {
    for (const [authority, host] of [
      ['a.example', 'a.example'],
      ['a.example', 'A.EXAMPLE'],
      ['a.example:80', 'a.example'],
      ['a.example', 'a.example:80'],
      ['[::1]:8080', '[::1]:8080'],
    ] as const) {
      const path = answering('2', up);
      ask2(path, ...GET2, ':authority', authority, 'host', host);
      expect(path.app.last.head.authority).toBe(authority);
      expect(path.app.last.fields).toEqual([]);
    }
  });

  test('a host that names another than :authority is refused (RFC 9113 §8.3.1)', () => {
    for (const [authority, host] of [
      ['a.example', 'b.example'],
      ['a.example', 'a.example:81'],
      ['a.example:8080', 'a.example'],
      ['a.example', ''],
      ['a.example', 'a.example, b.example'],
      ['a.example', 'x@a.example'],
    ] as const) {
      const path = answering('2', up);
      expect(ask2(path, ...GET2, ':authority', authority, 'host', host)[0]).toMatch(REFUSED);
      expect(path.app.bytes).toBe('');
    }
  });

  test('host alone stands for :authority; two that differ are refused', () => {
    const path = answering('2', up);
    ask2(path, ...GET2, 'host', 'h.example:8080');
    expect(path.app.last.head.authority).toBe('h.example:8080');
    const other = answering('2', up);
    expect(ask2(other, ...GET2, 'host', 'a', 'host', 'b')[0]).toMatch(REFUSED);
    expect(other.app.bytes).toBe('');
  });

  test.each([
    ['no authority at all', []],
    ['empty', [':authority', '']],
    ['userinfo (RFC 9110 §4.2.4)', [':authority', 'u:p@a.example']],
    ['no port behind the colon', [':authority', 'a.example:']],
    ['port beyond 65535', [':authority', 'a.example:65536']],
    ['IPv6 literal without its end', [':authority', '[::1']],
    ['IPv6 literal without brackets', [':authority', '::1']],
    ['a path in it', [':authority', 'a.example/x']],
    ['a blank in it', [':authority', 'a.example x']],
    ['a tab in it', [':authority', 'a.example\tx']],
    ['a comma list', [':authority', 'a, b']],
  ] as const)('authority refused: %s', (_name, fields) => {
    const path = answering('2', up);
    expect(ask2(path, ...GET2, ...fields)[0]).toMatch(REFUSED);
    expect(path.app.bytes).toBe('');
  });

  test.each(['a.example:8080', '[::1]', '[2001:db8::1]:443', '127.0.0.1:1', 'xn--a_b.example'])(
    'authority %s passes as it is',
    (authority) => {
      for (const down of ['1.1', '2'] as const) {
        const path = answering(down, up);
        path.request({ authority });
        expect(path.app.last.head.authority).toBe(authority);
      }
    },
  );

  test('fields of the connection, and those it names, go no further (RFC 9110 §7.6.1)', () => {
    const path = answering('1.1', up);
    ask1(
      path,
      'GET / HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, X-Hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n' +
        'proxy-connection: keep-alive\r\nte: deflate\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\nx-end: 1\r\n\r\n',
    );
    expect(path.app.last.fields).toEqual(['x-end: 1']);
    expect(path.app.last.field('te')).toBe(undefined);
    expect(path.app.last.head.upgrade).toBe('');
  });

  test('te: trailers passes, the rest of te does not (RFC 9110 §10.1.4, RFC 9113 §8.2.2)', () => {
    const path = answering('1.1', up);
    ask1(path, 'GET / HTTP/1.1\r\nhost: a\r\nconnection: te\r\nte: gzip;q=1, trailers\r\n\r\n');
    expect(path.app.last.field('te')).toBe('trailers');
  });

  test('an h2c upgrade is stripped and the request answered in HTTP/1.1 (RFC 9113 §3.1)', () => {
    const path = answering('1.1', up);
    const text = ask1(
      path,
      'GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n',
    );
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(text).not.toMatch(/101|upgrade/i);
    expect(path.app.last.fields).toEqual([]);
    expect(path.app.last.head.upgrade).toBe('');
  });

  test.each([
    ['connection', 'close'],
    ['connection', 'te'],
    ['keep-alive', 'timeout=5'],
    ['proxy-connection', 'keep-alive'],
    ['transfer-encoding', 'chunked'],
    ['transfer-encoding', 'identity'],
    ['upgrade', 'websocket'],
    ['te', 'gzip'],
    ['te', 'trailers, gzip'],
  ])('HTTP/2 request with %s: %s is malformed (RFC 9113 §8.2.2)', (name, value) => {
    const path = answering('2', up);
    expect(ask2(path, ...GET2, ':authority', 'a', name, value)[0]).toMatch(REFUSED);
    expect(path.app.bytes).toBe('');
  });

  test.each([
    ['no method', [':scheme', 'http', ':path', '/', ':authority', 'a']],
    ['no scheme', [':method', 'GET', ':path', '/', ':authority', 'a']],
    ['no path', [':method', 'GET', ':scheme', 'http', ':authority', 'a']],
    ['a method twice', [...GET2, ':method', 'GET', ':authority', 'a']],
    ['a path twice', [...GET2, ':path', '/', ':authority', 'a']],
    ['an authority twice', [...GET2, ':authority', 'a', ':authority', 'a']],
    [
      'a pseudo-header behind a field',
      [':method', 'GET', 'x', 'y', ':scheme', 'http', ':path', '/'],
    ],
    ['an unknown pseudo-header', [...GET2, ':authority', 'a', ':x', 'y']],
    ['a pseudo-header of responses', [...GET2, ':authority', 'a', ':status', '200']],
    ['a name in capitals', [...GET2, ':authority', 'a', 'X-A', '1']],
    ['a pseudo-header in capitals', [':Method', 'GET', ...GET2, ':authority', 'a']],
    ['an empty name', [...GET2, ':authority', 'a', '', '1']],
    ['an empty path', [':method', 'GET', ':scheme', 'http', ':path', '', ':authority', 'a']],
    [
      'a path without its slash',
      [':method', 'GET', ':scheme', 'http', ':path', 'x', ':authority', 'a'],
    ],
    [
      'a path in absolute form',
      [':method', 'GET', ':scheme', 'http', ':path', 'http://b/', ':authority', 'a'],
    ],
    [
      'a path with a fragment',
      [':method', 'GET', ':scheme', 'http', ':path', '/#x', ':authority', 'a'],
    ],
    [
      'a path * without OPTIONS',
      [':method', 'GET', ':scheme', 'http', ':path', '*', ':authority', 'a'],
    ],
    ['an unknown scheme', [':method', 'GET', ':scheme', 'ftp', ':path', '/', ':authority', 'a']],
    ['an empty scheme', [':method', 'GET', ':scheme', '', ':path', '/', ':authority', 'a']],
    ['CONNECT with a path', [':method', 'CONNECT', ':authority', 'a:1', ':path', '/']],
    ['CONNECT with a scheme', [':method', 'CONNECT', ':authority', 'a:1', ':scheme', 'http']],
    ['CONNECT without a port', [':method', 'CONNECT', ':authority', 'a']],
    ['CONNECT without an authority', [':method', 'CONNECT']],
    [':protocol without CONNECT', [...GET2, ':authority', 'a', ':protocol', 'websocket']],
    [
      ':protocol without a path',
      [':method', 'CONNECT', ':scheme', 'http', ':authority', 'a', ':protocol', 'websocket'],
    ],
    [
      ':protocol connect',
      [
        ':method',
        'CONNECT',
        ':scheme',
        'http',
        ':path',
        '/',
        ':authority',
        'a',
        ':protocol',
        'connect',
      ],
    ],
  ] as const)('HTTP/2 request with %s is malformed (RFC 9113 §8.3)', (_name, fields) => {
    const path = answering('2', up);
    expect(ask2(path, ...fields)[0]).toMatch(REFUSED);
    expect(path.app.bytes).toBe('');
  });

  test('OPTIONS * and OPTIONS of an absolute form without path are asterisk-form (RFC 9112 §3.2.4)', () => {
    const path = answering('2', up);
    ask2(path, ':method', 'OPTIONS', ':scheme', 'http', ':path', '*', ':authority', 'a');
    expect([path.app.last.head.method, path.app.last.head.path]).toEqual(['OPTIONS', '*']);
    const down1 = answering('1.1', up);
    ask1(down1, 'OPTIONS http://b.example HTTP/1.1\r\nhost: a\r\n\r\n');
    expect([down1.app.last.head.path, down1.app.last.head.authority]).toEqual(['*', 'b.example']);
  });

  test('absolute form: its authority replaces Host, its path is the path (RFC 9112 §3.2.2)', () => {
    const path = answering('1.1', up);
    ask1(path, 'GET http://b.example:8080/x?y HTTP/1.1\r\nhost: a\r\n\r\n');
    expect([path.app.last.head.authority, path.app.last.head.path]).toEqual([
      'b.example:8080',
      '/x?y',
    ]);
  });

  test('x-forwarded-proto is what the connection is, not what the client says of it (A2.1)', () => {
    const path = answering('2', up);
    ask2(path, ':method', 'GET', ':scheme', 'https', ':path', '/', ':authority', 'a');
    expect(path.app.last.field('x-forwarded-proto')).toBe('http');
    const down1 = answering('1.1', up);
    ask1(down1, 'GET https://b.example/ HTTP/1.1\r\nhost: a\r\n\r\n');
    expect(down1.app.last.field('x-forwarded-proto')).toBe('http');
  });

  test.each(['PURGE', 'M-SEARCH', 'get', "!#$%&'*+-.^_`|~09"])('method %s passes', (method) => {
    for (const down of ['1.1', '2'] as const) {
      const path = answering(down, up);
      expect(path.request({ method }).status).toBe(200);
      expect(path.app.last.head.method).toBe(method);
    }
  });

  test('a target of 40 KiB passes, head and fields beyond 60 KiB are 431 (PR-14)', () => {
    for (const down of ['1.1', '2'] as const) {
      const path = answering(down, up);
      const long = `/${'p'.repeat(40 * 1024)}`;
      path.request({ path: long });
      expect(path.app.last.head.path).toBe(long);
      const big = Array.from({ length: 8 }, (_, at) => [`x-${at}`, 'v'.repeat(8 * 1024)]).flat();
      expect(path.request({ headers: big }).status).toBe(431);
      expect(path.app.requests.length).toBe(1);
      expect(path.request({ headers: big.slice(0, 12) }).status).toBe(200);
    }
  });

  test('more than 100 fields are 431 (A2.12)', () => {
    for (const down of ['1.1', '2'] as const) {
      const path = answering(down, up);
      const many = Array.from({ length: 101 }, (_, at) => [`x-${at}`, 'v']).flat();
      expect(path.request({ headers: many }).status).toBe(431);
      expect(path.app.bytes).toBe('');
      expect(path.request({ headers: many.slice(0, 160) }).status).toBe(200);
    }
  });

  test('credentials are never indexed, whoever sent them (RFC 7541 §7.1.3)', () => {
    if (up === '1.1') return;
    const path = answering('1.1', '2');
    for (let round = 0; round < 3; round++) {
      path.request({ headers: ['authorization', 'Bearer s3cret', 'cookie', 'id=s3cret'] });
    }
    // Each time a literal: an indexed field would show the value once.
    expect(path.app.bytes.split('s3cret').length - 1).toBe(6);
  });

  test('what came never indexed leaves never indexed (RFC 7541 §6.2.3)', () => {
    if (up === '1.1') return;
    const path = answering('2', '2');
    const client = path.rawClient().send(CONNECTION_PREFACE, settings());
    const plain = headers(1, END_STREAM, ...GET2, ':authority', 'a').subarray(9);
    const secret = Buffer.concat([
      Buffer.from([0x10, 5]),
      Buffer.from('x-key'),
      Buffer.from([6]),
      Buffer.from('s3cret'),
    ]);
    for (let round = 0; round < 4; round++) {
      const payload = Buffer.concat([plain, secret]);
      const head = Buffer.from([0, 0, payload.length, 1, 5, 0, 0, 0, 1 + 2 * round]);
      client.send(head, payload);
    }
    expect(path.app.requests.map((request) => request.field('x-key'))).toEqual(
      Array(4).fill('s3cret'),
    );
    const { bytes } = path.app;
    expect(bytes.split('s3cret').length - 1).toBe(4);
    for (let at = bytes.indexOf('s3cret'); at >= 0; at = bytes.indexOf('s3cret', at + 1)) {
      const name = bytes.lastIndexOf('x-key', at);
      if (name === at - 6) expect(bytes.charCodeAt(name - 2) & 0xf0).toBe(0x10);
    }
  });
});

describe('responses', () => {
  test('an HTTP/1.1 upstream keeps its connection to itself (RFC 9110 §7.6.1)', () => {
    for (const down of ['1.1', '2'] as const) {
      const path = versionPath([down, '1.1'], { rawApp: true });
      path.app.onBytes = (_bytes, end) => {
        end.write(
          'HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: x\r\n' +
            'upgrade: h2c\r\nx-end: 1\r\ncontent-length: 0\r\n\r\n',
        );
      };
      expect(path.request().fields).toEqual(['x-end: 1']);
    }
  });

  test.each([
    ['connection', 'close'],
    ['transfer-encoding', 'chunked'],
    ['upgrade', 'h2c'],
    ['keep-alive', 'timeout=5'],
    ['te', 'gzip'],
  ])('an HTTP/2 upstream that sends %s: %s is a 502 (RFC 9113 §8.2.2)', (name, value) => {
    for (const down of ['1.1', '2'] as const) {
      const path = versionPath([down, '2'], { rawApp: true });
      path.app.onBytes = rawAnswer(headers(1, END_STREAM, ':status', '200', name, value));
      expect(path.request().status).toBe(502);
    }
  });

  test('a response without any length ends with its connection (HTTP/1.0 style, RFC 9112 §6.3)', () => {
    for (const versions of [
      ['1.1', '1.1'],
      ['2', '1.1'],
      ['1.1', '2', '1.1'],
    ] as const) {
      for (const version of ['1.0', '1.1']) {
        const path = versionPath(versions, { rawApp: true });
        path.app.onBytes = (_bytes, end) => {
          end.write(`HTTP/${version} 200 OK\r\nx-a: 1\r\n\r\nall of it`);
          end.closeAfterFlush();
        };
        const answer = path.request();
        expect([answer.status, answer.body, answer.ended]).toEqual([200, 'all of it', true]);
        expect(answer.reset).toBe('');
      }
    }
  });

  test('a response without any length that ends by a RST is cut (I4)', () => {
    for (const versions of [
      ['1.1', '1.1'],
      ['2', '1.1'],
      ['1.1', '2', '1.1'],
    ] as const) {
      const path = versionPath(versions, { rawApp: true });
      path.app.onBytes = (_bytes, end) => {
        end.write('HTTP/1.1 200 OK\r\n\r\nall of it');
        end.abort();
      };
      const answer = path.request();
      expect(answer.ended).toBe(false);
      expect(answer.reset).not.toBe('');
    }
  });

  test('a cut body without length reaches an HTTP/1.0 client as a RST, not as an end (I4)', () => {
    for (const up of ['1.1', '2'] as const) {
      const path = versionPath(['1.1', up], { config: { acceptHttp10: true } });
      path.app.onArrival = (request) => request.respond(200, { body: ['part'], open: true });
      const client = path.rawClient().send('GET / HTTP/1.0\r\nhost: a\r\n\r\n');
      expect(client.text).toMatch(/^HTTP\/1\.0 200 OK\r\n[\s\S]*\r\n\r\npart$/);
      path.app.last.stream.reset('localReset');
      path.settle();
      expect([client.ended, client.closed]).toEqual([false, 'ECONNRESET']);
    }
  });

  test('an HTTP/1.0 client is given what it can read: no chunks, no 1xx, no trailers (PR-04)', () => {
    for (const versions of [
      ['1.1', '1.1'],
      ['1.1', '2'],
      ['1.1', '2', '1.1'],
    ] as const) {
      const path = versionPath(versions, { config: { acceptHttp10: true } });
      path.app.onArrival = ({ stream }) => stream.writeInformational(new ResponseHead(103, []));
      path.app.onComplete = (request) =>
        request.respond(200, { body: ['a', 'b'], trailers: ['x-t', '1'] });
      const client = path.rawClient().send('GET / HTTP/1.0\r\nhost: a\r\n\r\n');
      expect(client.text).toMatch(/^HTTP\/1\.0 200 OK\r\n[\s\S]*\r\n\r\nab$/);
      expect(client.text).not.toMatch(/transfer-encoding|x-t|103/);
      expect([client.ended, client.closed]).toEqual([true, '']);
    }
  });

  test('a reason phrase is that of the registry: HTTP/2 has none (RFC 9113 §8.3.2)', () => {
    const path = versionPath(['1.1', '1.1'], { rawApp: true });
    path.app.onBytes = (_bytes, end) => {
      end.write('HTTP/1.1 299 Whatever The App Says\r\ncontent-length: 0\r\n\r\n');
    };
    expect(ask1(path, 'GET / HTTP/1.1\r\nhost: a\r\n\r\n')).toMatch(/^HTTP\/1\.1 299 \r\n/);
  });

  test('the head of an upstream beyond 60 KiB is a 502 of any version', () => {
    for (const up of ['1.1', '2'] as const) {
      const path = versionPath(['1.1', up]);
      const big = Array.from({ length: 8 }, (_, at) => [`x-${at}`, 'v'.repeat(8 * 1024)]).flat();
      path.app.onComplete = (request) => request.respond(200, { headers: big });
      expect(path.request().status).toBe(502);
    }
  });

  test('more bytes than HEAD, 204 and 304 have are nobody’s response', () => {
    for (const [method, status] of [
      ['HEAD', 200],
      ['GET', 204],
      ['GET', 304],
    ] as const) {
      const path = versionPath(['1.1', '1.1'], { rawApp: true });
      path.app.onBytes = (_bytes, end) => {
        end.write(`HTTP/1.1 ${status} X\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil`);
      };
      expect(path.request({ method }).status).toBe(status);
      const second = path.request({ method: 'GET' });
      expect(second.body).not.toBe('evil');
      expect(path.app.ends.length).toBe(2);
    }
  });
});

/** An HTTP/2 server in bytes: its settings at the first bytes of a connection, the answer at the request. */
function rawAnswer(answer: Buffer) {
  const decoder = new HpackDecoder(4096, 1 << 20, 1000);
  const greeted = new Set<unknown>();
  return (bytes: Buffer, end: MemoryEnd) => {
    if (!greeted.has(end)) end.write(settings());
    greeted.add(end);
    if (describeFrames(bytes, decoder).some((line) => line.startsWith('Headers 1'))) {
      end.write(answer);
    }
  };
}
