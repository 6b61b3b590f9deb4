import { describe, expect, test } from 'vitest';
import { type Version, versionPath } from '../../test/version-path.ts';
import { CONNECTION_PREFACE } from '../http2/frame-reader.ts';
import { HpackDecoder } from '../http2/hpack/hpack-decoder.ts';
import { data, describeFrames, headers, reset, settings } from '../http2/wire.testing.ts';

/** Upgrades and CONNECT between versions (PR-09, PR-10, RFC 8441, RFC 9113 §8.5). */

const PATHS: readonly (readonly Version[])[] = [
  ['1.1', '1.1'],
  ['1.1', '2'],
  ['2', '1.1'],
  ['2', '2'],
  ['1.1', '2', '1.1'],
  ['2', '2', '1.1'],
  ['1.1', '2', '2'],
  ['2', '1.1', '2'],
];

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

describe.each(PATHS.map((path) => [path.join(' → '), path] as const))('%s', (_name, versions) => {
  const down = versions[0]!;
  const up = versions.at(-1)!;

  function webSocket(options: Parameters<typeof versionPath>[1] = {}) {
    const path = versionPath(versions, options);
    const answer = path.request({
      upgrade: 'websocket',
      path: '/ws?x',
      headers: ['sec-websocket-version', '13', 'sec-websocket-key', KEY, 'origin', 'http://o'],
    });
    return { path, answer };
  }

  test('a WebSocket opens, with a challenge for HTTP/1.1 apps and the answer for HTTP/1.1 clients', () => {
    const { path, answer } = webSocket();
    const { head } = path.app.last;
    expect([head.method, head.path, head.upgrade]).toEqual(['GET', '/ws?x', 'websocket']);
    expect(path.app.last.field('sec-websocket-version')).toBe('13');
    expect(path.app.last.field('origin')).toBe('http://o');
    if (up === '1.1') {
      const key = path.app.last.field('sec-websocket-key') ?? '';
      expect(Buffer.from(key, 'base64').length).toBe(16);
      if (versions.every((version) => version === '1.1')) expect(key).toBe(KEY);
    }
    path.app.last.accept(['sec-websocket-accept', ACCEPT, 'sec-websocket-protocol', 'chat']);
    path.settle();
    expect([answer.status, answer.tunnel]).toEqual([101, true]);
    expect(answer.field('sec-websocket-protocol')).toBe('chat');
    if (down === '1.1') expect(answer.field('sec-websocket-accept')).toBe(ACCEPT);
    answer.stream!.writeData(Buffer.from('ping'), false);
    path.app.last.stream.writeData(Buffer.from('pong'), false);
    path.settle();
    expect([path.app.last.body, answer.body]).toEqual(['ping', 'pong']);
  });

  test('bytes written before the tunnel stands are held and come first', () => {
    const { path, answer } = webSocket();
    answer.stream!.writeData(Buffer.from('early '), false);
    path.settle();
    expect(path.app.last.body).toBe('');
    path.app.last.accept();
    path.settle();
    answer.stream!.writeData(Buffer.from('late'), false);
    path.settle();
    expect(path.app.last.body).toBe('early late');
  });

  test('a half-close of the client leaves the other direction open, and is not lost', () => {
    const { path, answer } = webSocket();
    path.app.last.accept();
    path.settle();
    answer.stream!.writeData(Buffer.from('bye'), true);
    path.settle();
    expect([path.app.last.body, path.app.last.ended]).toEqual(['bye', true]);
    expect(answer.ended).toBe(false);
    path.app.last.stream.writeData(Buffer.from('still here'), true);
    path.settle();
    expect([answer.body, answer.ended, answer.reset]).toEqual(['still here', true, '']);
    expect(path.app.last.reset).toBe('');
  });

  test('a half-close of the app leaves the other direction open, and is not lost', () => {
    const { path, answer } = webSocket();
    path.app.last.accept();
    path.settle();
    path.app.last.stream.writeData(Buffer.from('bye'), true);
    path.settle();
    expect([answer.body, answer.ended]).toEqual(['bye', true]);
    answer.stream!.writeData(Buffer.from('still here'), true);
    path.settle();
    expect([path.app.last.body, path.app.last.ended]).toEqual(['still here', true]);
    expect([answer.reset, path.app.last.reset]).toEqual(['', '']);
  });

  test('a reset of the client is one for the app, never an end (I4)', () => {
    const { path, answer } = webSocket();
    path.app.last.accept();
    path.settle();
    answer.stream!.writeData(Buffer.from('part'), false);
    path.settle();
    answer.stream!.reset('localReset');
    path.settle();
    expect(path.app.last.ended).toBe(false);
    expect(path.app.last.reset).not.toBe('');
  });

  test('a reset of the app is one for the client, never an end (I4)', () => {
    const { path, answer } = webSocket();
    path.app.last.accept().stream.writeData(Buffer.from('part'), false);
    path.settle();
    path.app.last.stream.reset('localReset');
    path.settle();
    expect(answer.body).toBe('part');
    expect(answer.ended).toBe(false);
    expect(answer.reset).not.toBe('');
  });

  test.each([400, 403, 404, 426, 500])(
    'an app that answers %d refuses: its answer is passed on',
    (status) => {
      const { path, answer } = webSocket();
      path.app.last.respond(status, { headers: ['x-why', 'no'], body: ['sorry'] });
      path.settle();
      expect([answer.status, answer.tunnel, answer.body, answer.ended]).toEqual([
        status,
        false,
        'sorry',
        true,
      ]);
      expect(answer.fields).toContain('x-why: no');
      path.app.onComplete = (request) => request.respond(200);
      expect(path.request().status).toBe(200);
    },
  );

  test('another protocol than WebSocket is carried the same way', () => {
    const path = versionPath(versions);
    const answer = path.request({ upgrade: 'chat' });
    expect(path.app.last.head.upgrade).toBe('chat');
    path.app.last.accept();
    path.settle();
    expect([answer.status, answer.tunnel]).toEqual([101, true]);
    expect(answer.field('upgrade')).toBe('chat');
  });

  test('a protocol that the configuration does not allow is 403', () => {
    const path = versionPath(versions);
    const answer = path.request({ upgrade: 'other' });
    expect([answer.status, path.app.bytes]).toEqual([403, '']);
  });

  test('an app of HTTP/2 that takes no extended CONNECT: 503, and not a byte of it (RFC 8441 §3)', () => {
    if (up !== '2') return;
    const { path, answer } = webSocket({ appTakesUpgrades: false });
    expect([answer.status, answer.tunnel, answer.ended]).toEqual([503, false, true]);
    expect(path.app.requests).toEqual([]);
  });
});

describe.each([
  ['to a connect route', { connectRoute: true }],
  ['in explicit-proxy mode', { config: { explicitProxy: true } }],
] as const)('CONNECT %s ends in a plain connection (RFC 9113 §8.5)', (_name, options) => {
  function open(down: Version) {
    const path = versionPath([down, '1.1'], { rawApp: true, ...options });
    const got: string[] = [];
    path.app.onBytes = (bytes) => got.push(bytes.toString('latin1'));
    const answer = path.request({ upgrade: 'connect', authority: 'db.example:5432' });
    // In explicit-proxy mode the first bytes say what is inside.
    answer.stream!.writeData(Buffer.from('\x16hello '), false);
    path.settle();
    return { path, answer, got, app: path.app.ends[0]! };
  }

  test.each(['1.1', '2'] as const)(
    'of HTTP/%s: 200, then bytes both ways and half-closes',
    (down) => {
      const { path, answer, got, app } = open(down);
      expect([answer.status, answer.tunnel]).toEqual([200, true]);
      expect(answer.field('content-length')).toBe(undefined);
      answer.stream!.writeData(Buffer.from('query'), true);
      path.settle();
      expect([got.join(''), app.peer!.ending]).toEqual(['\x16hello query', 'fin']);
      app.write('rows');
      app.end();
      path.settle();
      expect([answer.body, answer.ended, answer.reset]).toEqual(['rows', true, '']);
      expect(path.records[0]!.length).toBe(1);
    },
  );

  test.each(['1.1', '2'] as const)(
    'of HTTP/%s: the last bytes arrive where the server ended first',
    (down) => {
      const { path, answer, got, app } = open(down);
      app.write('rows');
      app.end();
      path.settle();
      expect([answer.body, answer.ended]).toEqual(['rows', true]);
      answer.stream!.writeData(Buffer.from('thanks'), true);
      path.settle();
      expect([got.join(''), app.peer!.ending]).toEqual(['\x16hello thanks', 'fin']);
    },
  );

  test.each(['1.1', '2'] as const)(
    'of HTTP/%s: a reset of the client is a RST for the server (MUST)',
    (down) => {
      const { path, answer, app } = open(down);
      answer.stream!.reset('localReset');
      path.settle();
      expect(app.peer!.ending).toBe('reset');
    },
  );

  test.each(['1.1', '2'] as const)(
    'of HTTP/%s: a RST of the server is a reset for the client',
    (down) => {
      const { path, answer, app } = open(down);
      app.write('part');
      path.settle();
      app.abort();
      path.settle();
      expect([answer.body, answer.ended]).toEqual(['part', false]);
      expect(answer.reset).not.toBe('');
    },
  );

  test('the reset of a CONNECT stream says CONNECT_ERROR', () => {
    const path = versionPath(['2', '1.1'], { rawApp: true, ...options });
    const client = path.rawClient();
    client.send(
      CONNECTION_PREFACE,
      settings(),
      headers(1, 0, ':method', 'CONNECT', ':authority', 'db:1'),
    );
    client.send(data(1, 0, '\x16'));
    path.app.ends[0]!.abort();
    path.settle();
    const lines = describeFrames(client.bytes, new HpackDecoder(4096, 1 << 20, 100));
    expect(lines).toContain('RstStream 1 CONNECT_ERROR');
  });

  test('RST_STREAM of the client is a RST for the server', () => {
    const path = versionPath(['2', '1.1'], { rawApp: true, ...options });
    const client = path.rawClient();
    client.send(
      CONNECTION_PREFACE,
      settings(),
      headers(1, 0, ':method', 'CONNECT', ':authority', 'db:1'),
    );
    client.send(data(1, 0, '\x16')).send(reset(1));
    expect(path.app.ends[0]!.peer!.ending).toBe('reset');
  });
});

test('CONNECT where it is not allowed is 403, and nothing is opened', () => {
  for (const down of ['1.1', '2'] as const) {
    const path = versionPath([down, '1.1'], {
      config: { upgrades: new Map() },
      connectRoute: true,
    });
    const answer = path.request({ upgrade: 'connect', authority: 'db.example:5432' });
    expect([answer.status, path.app.ends.length]).toEqual([403, 0]);
  }
});

describe('HTTP inside a CONNECT tunnel (explicit-proxy mode)', () => {
  const inner = (text: string) => Buffer.from(text, 'latin1');
  /** The inner connection collects what it writes until the turn of the event loop is over. */
  const endOfTurn = () => new Promise((resolve) => setImmediate(resolve));

  test.each(['1.1', '2'] as const)('HTTP/1.1 inside CONNECT of HTTP/%s', async (down) => {
    for (const up of ['1.1', '2'] as const) {
      const path = versionPath([down, up], { config: { explicitProxy: true } });
      path.app.onComplete = (request) => request.respond(200, { body: ['inside'] });
      const answer = path.request({ upgrade: 'connect', authority: 'web.example:8080' });
      answer.stream!.writeData(inner('GET /x HTTP/1.1\r\nhost: web.example\r\n\r\n'), false);
      path.settle();
      expect(path.app.last.head.path).toBe('/x');
      await endOfTurn();
      path.settle();
      expect(answer.body).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      expect(answer.body).toContain('inside');
      answer.stream!.reset('localReset');
      path.settle();
      expect(path.bugs).toEqual([]);
    }
  });

  test.each(['1.1', '2'] as const)('HTTP/2 inside CONNECT of HTTP/%s', async (down) => {
    const path = versionPath([down, '1.1'], { config: { explicitProxy: true } });
    path.app.onComplete = (request) => request.respond(200, { body: ['inside'] });
    const answer = path.request({ upgrade: 'connect', authority: 'web.example:8080' });
    const request = [
      ':method',
      'GET',
      ':scheme',
      'http',
      ':path',
      '/x',
      ':authority',
      'web.example',
    ];
    const sent = [inner(String(CONNECTION_PREFACE)), settings(), headers(1, 1, ...request)];
    answer.stream!.writeData(Buffer.concat(sent), false);
    path.settle();
    expect(path.app.last.head.path).toBe('/x');
    await endOfTurn();
    path.settle();
    const decoder = new HpackDecoder(4096, 1 << 20, 100);
    const lines = describeFrames(inner(answer.body), decoder).join('\n');
    expect(lines).toMatch(/Headers 1 \[:status: 200\]/);
    expect(lines).toContain('Data 1 inside');
    answer.stream!.reset('localReset');
    path.settle();
  });
});

test('of several protocols the first that is allowed is asked for, h2c never', () => {
  for (const up of ['1.1', '2'] as const) {
    const path = versionPath(['1.1', up]);
    path
      .rawClient()
      .send(
        'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c, other, WebSocket, chat\r\n\r\n',
      );
    expect(path.app.last.head.upgrade).toBe('websocket');
  }
});

describe('an answer that is not what was asked for', () => {
  test('200 to extended CONNECT by an HTTP/1.1 app is no tunnel: 502, in the log too (RFC 8441 §4)', () => {
    const path = versionPath(['2', '1.1']);
    const answer = path.request({ upgrade: 'websocket' });
    path.app.last.respond(200, { body: ['page'] });
    path.settle();
    expect([answer.status, answer.tunnel]).toEqual([502, false]);
    expect(path.records[0]!.map((record) => record.status)).toEqual([502]);
  });

  test('200 to an HTTP/1.1 upgrade is passed on: the client sees that there is no tunnel', () => {
    const path = versionPath(['1.1', '1.1']);
    const answer = path.request({ upgrade: 'websocket' });
    path.app.last.respond(200, { body: ['page'] });
    path.settle();
    expect([answer.status, answer.tunnel, answer.body]).toEqual([200, false, 'page']);
  });

  test('101 to another protocol than asked for is a 502 (A3.3)', () => {
    for (const down of ['1.1', '2'] as const) {
      const path = versionPath([down, '1.1'], { rawApp: true });
      path.app.onBytes = (_bytes, end) => {
        end.write('HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\nevil');
      };
      expect(path.request({ upgrade: 'websocket' }).status).toBe(502);
    }
  });
});
