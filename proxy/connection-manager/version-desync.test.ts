import { describe, expect, test } from 'vitest';
import type { MemoryEnd } from '../../test/memory-network.ts';
import { type RawEnd, type Version, versionPath } from '../../test/version-path.ts';
import { CONNECTION_PREFACE } from '../http2/frame-reader.ts';
import { HpackDecoder } from '../http2/hpack/hpack-decoder.ts';
import { data, describeFrames, END_STREAM, headers, settings } from '../http2/wire.testing.ts';

/**
 * Request smuggling by downgrade and response splitting (A2.6, PR-15): what one version cannot say must not be said
 * by the bytes of another. Every row is refused, and nothing of it reaches the other side.
 */

const PATHS: readonly (readonly Version[])[] = [
  ['2', '1.1'],
  ['2', '2'],
  ['2', '2', '1.1'],
  ['2', '1.1', '2'],
];

/** A whole request, to be found in what the upstream got. */
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nhost: evil\r\n\r\n';

interface Parts {
  readonly method?: string;
  readonly scheme?: string;
  readonly path?: string;
  readonly authority?: string;
  readonly fields?: readonly string[];
}

function request(parts: Parts): string[] {
  const { method = 'GET', scheme = 'http', path = '/', authority = 'a' } = parts;
  const pseudo = [':method', method, ':scheme', scheme, ':path', path, ':authority', authority];
  return [...pseudo, ...(parts.fields ?? [])];
}

function frames(client: RawEnd): string[] {
  return describeFrames(client.bytes, new HpackDecoder(4096, 1 << 20, 1000)).filter((line) =>
    /^(Headers|Data|RstStream|Goaway)/.test(line),
  );
}

const everywhere = (what: string): [string, Parts][] => [
  [`${what} in a value`, { fields: ['x-a', `b${what}${SMUGGLED}`] }],
  [`${what} at the end of a value`, { fields: ['x-a', `b${what}`] }],
  [`${what} at the start of a value`, { fields: ['x-a', `${what}b`] }],
  [`${what} in a name`, { fields: [`x-a${what}x-b`, '1'] }],
  [`${what} in the method`, { method: `GET${what}${SMUGGLED}` }],
  [`${what} in the path`, { path: `/${what}${SMUGGLED}` }],
  [`${what} in the authority`, { authority: `a${what}x-b: 1` }],
  [`${what} in the scheme`, { scheme: `http${what}x` }],
  [`${what} in a cookie crumb`, { fields: ['cookie', 'a=1', 'cookie', `b=2${what}x: 1`] }],
  [`${what} in host`, { fields: ['host', `a${what}x-b: 1`] }],
  [`${what} in te`, { fields: ['te', `trailers${what}x`] }],
  [`${what} in content-length`, { fields: ['content-length', `0${what}`] }],
];

const ROWS: readonly (readonly [string, Parts])[] = [
  ...['\r\n', '\n', '\r', '\0'].flatMap((what) => everywhere(what)),
  ['a blank in the method', { method: 'GET /smuggled HTTP/1.1' }],
  ['a tab in the method', { method: 'GET\t/smuggled' }],
  ['an empty method', { method: '' }],
  ['a blank in the path', { path: '/ HTTP/1.1' }],
  ['a whole request line in the path', { path: `/ HTTP/1.1\r\nhost: b\r\n\r\n${SMUGGLED}` }],
  ['a tab in the path', { path: '/\tx' }],
  ['a byte beyond ASCII in the path', { path: '/\xa0x' }],
  ['DEL in the path', { path: '/\x7f' }],
  ['a scheme with a URL in it', { scheme: 'http://b/x?' }],
  ['a scheme with a request line in it', { scheme: 'http GET' }],
  ['a colon in a name', { fields: ['x-a:x-b', '1'] }],
  ['a colon at the end of a name', { fields: ['transfer-encoding:', 'chunked'] }],
  [
    'a colon in front of a name that is no pseudo-header',
    { fields: [':transfer-encoding', 'chunked'] },
  ],
  ['a blank in a name', { fields: ['x a', '1'] }],
  ['a blank at the end of a name', { fields: ['transfer-encoding ', 'chunked'] }],
  ['a blank in front of a name', { fields: [' transfer-encoding', 'chunked'] }],
  ['a tab in a name', { fields: ['transfer-encoding\t', 'chunked'] }],
  ['a byte beyond ASCII in a name', { fields: ['x-\xe9', '1'] }],
  ['DEL in a value', { fields: ['x', 'a\x7fb'] }],
  ['a blank in front of a value', { fields: ['x', ' a'] }],
  ['a tab behind a value', { fields: ['x', 'a\t'] }],
  ['a blank in front of a cookie crumb', { fields: ['cookie', 'a=1', 'cookie', ' b=2'] }],
  ['a lone blank as a value', { fields: ['x', ' '] }],
  ['transfer-encoding: chunked', { fields: ['transfer-encoding', 'chunked'] }],
  [
    'transfer-encoding beside content-length',
    { fields: ['content-length', '0', 'transfer-encoding', 'chunked'] },
  ],
  ['transfer-encoding: xchunked', { fields: ['transfer-encoding', 'xchunked'] }],
  ['connection naming transfer-encoding', { fields: ['connection', 'transfer-encoding'] }],
  ['two content-lengths that differ', { fields: ['content-length', '0', 'content-length', '5'] }],
  ['a list of content-lengths', { fields: ['content-length', '0, 0'] }],
  ['content-length with a sign', { fields: ['content-length', '+0'] }],
  ['content-length in hex', { fields: ['content-length', '0x0'] }],
  ['content-length below zero', { fields: ['content-length', '-1'] }],
  ['content-length empty', { fields: ['content-length', ''] }],
  ['content-length beyond 2^53', { fields: ['content-length', '99999999999999999'] }],
  ['content-length 5 with END_STREAM', { fields: ['content-length', '5'] }],
  ['userinfo in the authority', { authority: 'a@b' }],
  ['a query in the authority', { authority: 'a?b' }],
  ['a backslash in the authority', { authority: 'a\\b' }],
];

describe.each(PATHS.map((path) => [path.join(' → '), path] as const))('%s', (_name, versions) => {
  test.each(ROWS)('%j is refused and nothing of it goes on', (_row, parts) => {
    const path = versionPath(versions);
    path.app.onArrival = (arrived) => arrived.respond(200);
    const client = path.rawClient();
    client.send(CONNECTION_PREFACE, settings(), headers(1, END_STREAM, ...request(parts)));
    const lines = frames(client);
    expect(lines[0]).toMatch(/^(Headers 1 \[:status: 400\]|RstStream 1 PROTOCOL_ERROR)/);
    expect(path.app.bytes).toBe('');
    expect(path.app.requests).toEqual([]);
    // The connection lives: it is one stream's fault.
    client.send(headers(3, END_STREAM, ...request({ path: '/next' })));
    expect(path.app.requests.map(({ head }) => head.path)).toEqual(['/next']);
    expect(path.app.bytes).not.toContain('smuggled');
  });

  test.each([
    ['more bytes than announced', ['content-length', '3'], ['abc', SMUGGLED], false],
    ['fewer bytes than announced', ['content-length', '100'], ['abc'], true],
    ['a body where 0 is announced', ['content-length', '0'], [SMUGGLED], true],
  ] as const)(
    '%s: the stream is reset and the upstream sees no second request',
    (_row, fields, body, ends) => {
      const path = versionPath(versions);
      const client = path.rawClient();
      const head = request({ method: 'POST', fields });
      client.send(CONNECTION_PREFACE, settings(), headers(1, 0, ...head));
      body.forEach((chunk, index) => {
        client.send(data(1, ends && index === body.length - 1 ? END_STREAM : 0, chunk));
      });
      expect(frames(client).join('\n')).toContain('RstStream 1 PROTOCOL_ERROR');
      expect(path.app.bytes).not.toContain('smuggled');
      for (const arrived of path.app.requests) {
        // Where the announced bytes had come, that request is whole and the rest is nobody's.
        if (arrived.ended) expect(arrived.body.length).toBe(Number(fields[1]));
        else expect(arrived.reset).not.toBe('');
      }
      expect(path.app.requests.length).toBeLessThanOrEqual(1);
      expect(path.app.refusals).toEqual([]);
    },
  );

  test('content-length and trailers: fewer bytes are refused, as many pass', () => {
    const path = versionPath(versions);
    const client = path.rawClient();
    const head = request({ method: 'POST', fields: ['content-length', '3'] });
    client.send(CONNECTION_PREFACE, settings(), headers(1, 0, ...head), data(1, 0, 'ab'));
    client.send(headers(1, END_STREAM, 'x-t', '1'));
    expect(frames(client).join('\n')).toContain('RstStream 1 PROTOCOL_ERROR');
    expect(path.app.last.ended).toBe(false);
    client.send(headers(3, 0, ...head), data(3, 0, 'abc'), headers(3, END_STREAM, 'x-t', '1'));
    expect([path.app.last.body, path.app.last.ended]).toEqual(['abc', true]);
  });

  test.each([
    ['a CRLF in a value', ['x-t', `1\r\n\r\n${SMUGGLED}`]],
    ['a LF in a name', ['x-t\nx', '1']],
    ['a pseudo-header', [':path', '/smuggled']],
    ['transfer-encoding', ['transfer-encoding', 'chunked']],
    ['connection', ['connection', 'close']],
  ] as const)(
    'trailers with %s are malformed and the request stays open-ended',
    (_row, trailers) => {
      const path = versionPath(versions);
      const client = path.rawClient();
      client.send(CONNECTION_PREFACE, settings(), headers(1, 0, ...request({ method: 'POST' })));
      client.send(data(1, 0, 'abc'), headers(1, END_STREAM, ...trailers));
      expect(frames(client).join('\n')).toContain('RstStream 1 PROTOCOL_ERROR');
      expect(path.app.last.ended).toBe(false);
      expect(path.app.last.reset).not.toBe('');
      expect(path.app.bytes).not.toContain('smuggled');
    },
  );

  test('trailers that decide framing, routing or credentials are dropped (RFC 9110 §6.5.1)', () => {
    const path = versionPath(versions);
    const client = path.rawClient();
    client.send(CONNECTION_PREFACE, settings(), headers(1, 0, ...request({ method: 'POST' })));
    const dropped = ['content-length', '5', 'host', 'b', 'cookie', 'a=1', 'authorization', 'x'];
    client.send(data(1, 0, 'abc'), headers(1, END_STREAM, ...dropped, 'x-t', '1'));
    expect(path.app.last.trailers).toEqual(['x-t', '1']);
  });
});

describe('from HTTP/1.1', () => {
  const HEAD = 'POST / HTTP/1.1\r\nhost: a\r\n';
  const ROWS1: readonly (readonly [string, string])[] = [
    [
      'both framings',
      `${HEAD}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ['two lengths', `${HEAD}content-length: 0\r\ncontent-length: 4\r\n\r\n${SMUGGLED}`],
    ['a list of lengths', `${HEAD}content-length: 0, 4\r\n\r\n${SMUGGLED}`],
    ['a length with a sign', `${HEAD}content-length: +0\r\n\r\n${SMUGGLED}`],
    ['a length in hex', `${HEAD}content-length: 0x0\r\n\r\n${SMUGGLED}`],
    ['a blank before the colon', `${HEAD}transfer-encoding : chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    ['a folded line', `${HEAD}transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    ['an unknown coding', `${HEAD}transfer-encoding: xchunked\r\n\r\n${SMUGGLED}`],
    ['chunked twice', `${HEAD}transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    [
      'chunked and another coding',
      `${HEAD}transfer-encoding: chunked\r\ntransfer-encoding: gzip\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ['a bare LF', `${HEAD}x: y\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    ['a bare CR', `${HEAD}x: y\rtransfer-encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    ['NUL in a value', `${HEAD}x: y\0\r\n\r\n${SMUGGLED}`],
    ['NUL in a name', `${HEAD}x\0: y\r\n\r\n${SMUGGLED}`],
    ['a colon in front of a name', `${HEAD}:path: /smuggled\r\n\r\n${SMUGGLED}`],
    ['two hosts', `${HEAD}host: b\r\n\r\n${SMUGGLED}`],
    ['userinfo in the host', `POST / HTTP/1.1\r\nhost: a@b\r\n\r\n${SMUGGLED}`],
    ['a byte beyond ASCII in the target', `POST /\xa0 HTTP/1.1\r\nhost: a\r\n\r\n${SMUGGLED}`],
  ];

  test.each(['1.1', '2'] as const)(
    'to HTTP/%s: what is ambiguous is 400 and goes no further',
    (up) => {
      for (const [name, text] of ROWS1) {
        const path = versionPath(['1.1', up]);
        path.app.onArrival = (arrived) => arrived.respond(200);
        const client = path.rawClient().send(text);
        expect(client.text, name).toMatch(/^HTTP\/1\.1 400 /);
        expect(client.text.match(/HTTP\/1\.1/g)?.length, name).toBe(1);
        expect(path.app.bytes, name).toBe('');
      }
    },
  );

  test('trailers of HTTP/1.1 that decide framing, routing or credentials are refused (A3.1)', () => {
    for (const up of ['1.1', '2'] as const) {
      for (const field of ['content-length: 5', 'host: b', 'cookie: a=1', 'authorization: x']) {
        const path = versionPath(['1.1', up]);
        const text = `${HEAD}transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n${field}\r\n\r\n`;
        const client = path.rawClient().send(text + SMUGGLED);
        expect(client.text).toMatch(/^HTTP\/1\.1 400 /);
        expect(path.app.bytes).not.toContain('smuggled');
        for (const request of path.app.requests) expect(request.ended).toBe(false);
      }
    }
  });
});

describe('responses', () => {
  const SPLIT = '\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil';

  test.each([
    ['CRLF in a value', [':status', '200', 'x', `y${SPLIT}`]],
    ['LF in a value', [':status', '200', 'x', 'y\nz: 1']],
    ['CR in a value', [':status', '200', 'x', 'y\rz: 1']],
    ['NUL in a value', [':status', '200', 'x', 'y\0z']],
    ['CRLF in a name', [':status', '200', `x${SPLIT}`, 'y']],
    ['a colon in a name', [':status', '200', 'set-cookie: a=1', 'y']],
    ['a blank in a name', [':status', '200', 'set-cookie ', 'y']],
    ['capitals in a name', [':status', '200', 'Set-Cookie', 'y']],
    ['CRLF in the status', [':status', `200 OK${SPLIT}`]],
    ['a status of two digits', [':status', '20']],
    ['a status below 100', [':status', '099']],
    ['a status with a sign', [':status', '+20']],
    ['a status with a blank', [':status', '200 ']],
    ['no status', ['x', 'y']],
    ['two statuses', [':status', '200', ':status', '200']],
    ['a status behind a field', ['x', 'y', ':status', '200']],
    ['a pseudo-header of requests', [':status', '200', ':path', '/']],
    ['101', [':status', '101']],
    ['transfer-encoding', [':status', '200', 'transfer-encoding', 'chunked']],
    ['two lengths that differ', [':status', '200', 'content-length', '0', 'content-length', '4']],
    ['a length with a sign', [':status', '200', 'content-length', '+0']],
    ['a length and no body', [':status', '200', 'content-length', '4']],
    ['an interim response that ends the stream', [':status', '103']],
  ] as const)(
    'of an HTTP/2 upstream with %s: 502, and nothing of it reaches the client',
    (_row, fields) => {
      for (const down of ['1.1', '2'] as const) {
        const path = versionPath([down, '2'], { rawApp: true });
        path.app.onBytes = rawAnswer(headers(1, END_STREAM, ...fields));
        const answer = path.request();
        expect([answer.status, answer.ended]).toEqual([502, true]);
        expect(answer.fields.join()).not.toMatch(/evil|set-cookie|a=1/);
        expect(path.clientEnd!.peer!.text).not.toContain('evil');
      }
    },
  );

  test('trailers of an HTTP/2 upstream that would split the response cut it (I4)', () => {
    for (const down of ['1.1', '2'] as const) {
      const path = versionPath([down, '2'], { rawApp: true });
      path.app.onBytes = rawAnswer(
        Buffer.concat([
          headers(1, 0, ':status', '200'),
          data(1, 0, 'a'),
          headers(1, END_STREAM, 'x', `1${SPLIT}`),
        ]),
      );
      const answer = path.request();
      expect(answer.ended).toBe(false);
      expect(answer.reset).not.toBe('');
      expect(path.clientEnd!.peer!.text).not.toContain('evil');
    }
  });

  test('a body of another length than announced cuts the response (RFC 9113 §8.1.1)', () => {
    for (const [length, body] of [
      ['3', 'abcdef'],
      ['9', 'abc'],
    ] as const) {
      for (const down of ['1.1', '2'] as const) {
        const path = versionPath([down, '2'], { rawApp: true });
        path.app.onBytes = rawAnswer(
          Buffer.concat([
            headers(1, 0, ':status', '200', 'content-length', length),
            data(1, END_STREAM, body),
          ]),
        );
        const answer = path.request();
        expect(answer.ended).toBe(false);
        expect(answer.reset).not.toBe('');
      }
    }
  });

  test.each([
    ['NUL in a value', 'HTTP/1.1 200 OK\r\nx: y\0\r\n\r\n'],
    [
      'both framings',
      'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
    ['a bare LF', 'HTTP/1.1 200 OK\r\nx: y\nz: 1\r\ncontent-length: 0\r\n\r\n'],
    [
      '101 that nobody asked for',
      'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
    ],
    ['a colon in front of a name', 'HTTP/1.1 200 OK\r\n:status: 201\r\ncontent-length: 0\r\n\r\n'],
  ])('of an HTTP/1.1 upstream with %s is a 502 whatever the client speaks', (_row, text) => {
    for (const down of ['1.1', '2'] as const) {
      const path = versionPath([down, '1.1'], { rawApp: true });
      path.app.onBytes = (_bytes, end) => {
        end.write(text);
      };
      expect(path.request().status).toBe(502);
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
