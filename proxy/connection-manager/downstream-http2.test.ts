import { describe, expect, test } from 'vitest';
import { type ExchangeOptions, exchange, type FakeClient } from '../../test/proxy-exchange.ts';
import { HpackDecoder } from '../http2/hpack/hpack-decoder.ts';
import {
  data,
  describeFrames,
  END_STREAM,
  frame,
  goaway,
  headers,
  ping,
  SETTINGS_ACK,
  settings,
  windowUpdate,
} from '../http2/wire.testing.ts';
import type { DownstreamConnectionInfo } from '../tls/peer-certificate.ts';

/** Connections of HTTP/2 to the connection manager: which codec they get, and what ends them. */

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const HELLO = Buffer.concat([PREFACE, settings(), SETTINGS_ACK]);
const PING_HEAD = ping().subarray(0, 9);
/** Everything that is on its way will be served. */
const FIRST_GOAWAY = 'Goaway 2147483647 NO_ERROR';

const get = (id: number, ...fields: readonly string[]) =>
  headers(
    id,
    END_STREAM,
    ...[':method', 'GET', ':scheme', 'http', ':authority', 'a', ':path', '/', ...fields],
  );

/** A client that reads frames. */
class Http2Client {
  readonly client: FakeClient;
  readonly #decoder = new HpackDecoder(4096, 1 << 20, 1000);
  #read = 0;

  constructor(client: FakeClient) {
    this.client = client;
  }

  send(...parts: readonly Buffer[]): this {
    this.client.send(Buffer.concat(parts));
    return this;
  }

  /** Frames since the last call, without those that every connection begins with. */
  get frames(): string[] {
    const { transport } = this.client;
    transport.endTurn();
    const from = this.#read;
    this.#read = transport.chunks.length;
    const lines = describeFrames(Buffer.concat(transport.chunks.slice(from)), this.#decoder);
    return lines.filter((line) => !/^(Settings|WindowUpdate 0)/.test(line));
  }

  /** The answer to the latest PING. */
  get pong(): Buffer {
    const { transport } = this.client;
    transport.endTurn();
    const written = Buffer.concat(transport.chunks);
    const at = written.lastIndexOf(PING_HEAD);
    if (at < 0) throw new Error('there is no PING');
    return ping(1, written.toString('latin1', at + PING_HEAD.length, at + PING_HEAD.length + 8));
  }

  get ended(): boolean {
    return this.client.transport.ended || this.client.transport.destroyed;
  }
}

function setup(options: ExchangeOptions = {}, info: Partial<DownstreamConnectionInfo> = {}) {
  const mesh = exchange(options);
  const client = new Http2Client(mesh.connect({ alpnProtocol: 'h2', ...info }));
  return { mesh, client, stat: (name: string) => mesh.stat(`http.test.${name}`) };
}

describe('[PR-02] the codec of a connection', () => {
  const first = Buffer.concat([HELLO, get(1)]);
  test('a preface cut anywhere begins HTTP/2', () => {
    for (let cut = 1; cut < first.length; cut++) {
      const { mesh, client, stat } = setup({}, { alpnProtocol: '' });
      client.send(first.subarray(0, cut)).send(first.subarray(cut));
      mesh.cluster('a').last.respond(204);
      expect(client.frames.join(), `cut at ${cut}`).toContain(':status: 204');
      expect([stat('downstream_cx_http2_total'), stat('downstream_cx_http1_total')]).toEqual([
        1, 0,
      ]);
      expect(mesh.bugs).toEqual([]);
    }
  });

  test('and byte by byte', () => {
    const { mesh, client } = setup({}, { alpnProtocol: '' });
    for (const byte of first) client.send(Buffer.from([byte]));
    mesh.cluster('a').last.respond(204);
    expect(client.frames.join()).toContain(':status: 204');
  });

  test.each(['h2', 'istio-h2', 'weft-h2'])('ALPN %s is HTTP/2 from the first byte', (name) => {
    const { client, stat } = setup({}, { alpnProtocol: name });
    expect(stat('downstream_cx_http2_active')).toBe(1);
    client.send(Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n'));
    expect(client.frames).toEqual(['Goaway 0 PROTOCOL_ERROR http2.bad_connection_preface']);
    expect(client.ended).toBe(true);
  });

  test.each(['http/1.1', 'istio-http/1.1'])('ALPN %s is HTTP/1.1, whatever is said', (name) => {
    const { mesh, client, stat } = setup({}, { alpnProtocol: name });
    expect(stat('downstream_cx_http1_active')).toBe(1);
    client.send(HELLO);
    expect(client.client.text).toMatch(/^HTTP\/1\.1 (400|505) /);
    expect(client.ended).toBe(true);
    expect(mesh.record.flags).not.toBe(0);
  });

  test('HTTP/1.1 where the configuration says HTTP2 is a connection error', () => {
    const { client, stat } = setup({ config: { codecType: 'HTTP2' } }, { alpnProtocol: '' });
    client.send(Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n'));
    expect(client.frames).toEqual(['Goaway 0 PROTOCOL_ERROR http2.bad_connection_preface']);
    expect(client.ended).toBe(true);
    expect(stat('downstream_cx_protocol_error')).toBe(1);
  });

  test('HTTP/2 where the configuration says HTTP1 is refused in HTTP/1.1', () => {
    const { client, stat } = setup({ config: { codecType: 'HTTP1' } }, { alpnProtocol: '' });
    client.send(HELLO);
    expect(client.client.text).toMatch(/^HTTP\/1\.1 (400|505) /);
    expect(client.ended).toBe(true);
    expect(stat('downstream_cx_http1_total')).toBe(1);
  });

  test('a preface and then anything else is a connection error', () => {
    const { client, stat } = setup({}, { alpnProtocol: '' });
    client.send(PREFACE, Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n'));
    expect(client.frames.join()).toMatch(/^Goaway 0 (PROTOCOL|FRAME_SIZE)_ERROR/);
    expect(client.ended).toBe(true);
    expect(stat('downstream_cx_protocol_error')).toBe(1);
  });

  test('a client that closes after part of a preface has said nothing', () => {
    const { mesh, client, stat } = setup({}, { alpnProtocol: '' });
    client.send(PREFACE.subarray(0, 3));
    client.client.connection.receiveEnd();
    client.client.close();
    expect(mesh.bugs).toEqual([]);
    expect(stat('downstream_cx_active')).toBe(0);
    expect(stat('downstream_cx_http1_active')).toBe(0);
  });

  test('the gauges of both versions go down with their connections', () => {
    const { mesh, client, stat } = setup();
    const other = mesh.connect();
    other.get();
    expect([stat('downstream_cx_http1_active'), stat('downstream_cx_http2_active')]).toEqual([
      1, 1,
    ]);
    other.close();
    client.client.close();
    client.client.close();
    expect([stat('downstream_cx_http1_active'), stat('downstream_cx_http2_active')]).toEqual([
      0, 0,
    ]);
  });
});

describe('[A1.9] the request-headers timeout', () => {
  const half = frame(1, END_STREAM, 1, [0x82, 0x84]); // no END_HEADERS

  test.each<[string, Buffer]>([
    ['half a field block', Buffer.concat([HELLO, half])],
    ['half a frame', Buffer.concat([HELLO, get(1).subarray(0, 12)])],
  ])('%s', (_, bytes) => {
    const { mesh, client, stat } = setup();
    client.send(bytes);
    mesh.clock.advance(9_999);
    expect(client.ended).toBe(false);
    mesh.clock.advance(1);
    expect(client.frames.at(-1)).toMatch(/^Goaway 0 /);
    expect(client.ended).toBe(true);
    expect(stat('downstream_rq_header_timeout')).toBe(1);
    expect(mesh.record.status).toBe(408);
  });

  test('a preface without SETTINGS, and so without the acknowledgement of ours, is told once', () => {
    const { mesh, client } = setup();
    client.send(PREFACE);
    mesh.clock.advance(9_999);
    expect(client.ended).toBe(false);
    mesh.clock.advance(100_000);
    expect(client.frames).toEqual([expect.stringMatching(/^Goaway 0 /)]);
    expect(client.ended).toBe(true);
    expect(mesh.records.length).toBe(1);
  });

  test('half a preface', () => {
    const { mesh, client } = setup({}, { alpnProtocol: '' });
    client.send(PREFACE.subarray(0, 2));
    mesh.clock.advance(10_000);
    expect(client.client.status).toBe(408);
    expect(client.ended).toBe(true);
  });

  test('a half block in the way of a running stream ends both: the next frame cannot be read', () => {
    const { mesh, client } = setup();
    client.send(HELLO, get(1), frame(1, END_STREAM, 3, [0x82]));
    mesh.clock.advance(10_000);
    expect(client.ended).toBe(true);
    expect(mesh.cluster('a').last.cancelled).toBe(true);
  });

  test('slow bytes do not start it anew', () => {
    const { mesh, client } = setup();
    client.send(HELLO);
    const bytes = get(1);
    for (let at = 0; at < 9; at++) {
      client.send(bytes.subarray(at, at + 1));
      mesh.clock.advance(1_200);
    }
    expect(client.ended).toBe(true);
  });
});

describe('[RS-11] the idle timeout', () => {
  const options = { config: { idleTimeoutMs: 60_000, drainTimeoutMs: 5_000 } };

  test('ends a connection without streams in two steps', () => {
    const { mesh, client, stat } = setup(options);
    client.send(HELLO);
    expect(client.frames).toEqual([]);
    mesh.clock.advance(60_000);
    expect(client.frames).toEqual([FIRST_GOAWAY, 'Ping']);
    expect(client.ended).toBe(false);
    client.send(client.pong);
    expect(client.frames).toEqual(['Goaway 0 NO_ERROR']);
    expect(client.ended).toBe(true);
    expect(stat('downstream_cx_idle_timeout')).toBe(1);
  });

  test('takes a request that was on its way', () => {
    const { mesh, client } = setup(options);
    client.send(HELLO);
    mesh.clock.advance(60_000);
    client.send(get(1), client.pong);
    mesh.cluster('a').last.respond(204);
    expect(client.frames.slice(2)).toEqual([
      'Goaway 1 NO_ERROR',
      expect.stringContaining(':status: 204'),
    ]);
    expect(client.ended).toBe(true);
  });

  test('leaves one with a stream alone', () => {
    const { mesh, client } = setup(options);
    client.send(HELLO, get(1));
    mesh.clock.advance(200_000);
    expect(client.frames).toEqual([]);
  });
});

describe('[D19] [D24] drain', () => {
  const options = { config: { drainTimeoutMs: 5_000 } };

  test('says GOAWAY at once, takes what comes until the answer to its PING, and lets streams end', () => {
    const { mesh, client } = setup(options);
    client.send(HELLO, get(1));
    client.client.connection.drain();
    client.client.connection.drain();
    expect(client.frames).toEqual([FIRST_GOAWAY, 'Ping']);
    client.send(get(3), client.pong, get(5));
    expect(client.frames).toEqual(['Goaway 3 NO_ERROR']);
    expect(mesh.cluster('a').tries.length).toBe(2);
    mesh.clock.advance(200_000);
    expect(client.ended).toBe(false);
    for (const attempt of mesh.cluster('a').tries) attempt.respond(204);
    expect(client.frames.length).toBe(2);
    expect(client.ended).toBe(true);
  });

  test('a PING that is never answered is waited for no longer than the drain time', () => {
    const { mesh, client } = setup(options);
    client.send(HELLO, get(1));
    client.client.connection.drain();
    // Never without a stream, so that no idle timeout helps.
    mesh.clock.advance(4_000);
    client.send(get(3));
    mesh.clock.advance(999);
    expect(client.frames.length).toBe(2);
    mesh.clock.advance(1);
    expect(client.frames).toEqual(['Goaway 3 NO_ERROR']);
    client.send(get(5));
    expect(mesh.cluster('a').tries.length).toBe(2);
    for (const attempt of mesh.cluster('a').tries) attempt.respond(204);
    expect(client.ended).toBe(true);
  });

  test('a connection whose version is not known yet is told as soon as it is', () => {
    const { client } = setup(options, { alpnProtocol: '' });
    client.client.connection.drain();
    expect(client.frames).toEqual([]);
    client.send(HELLO);
    expect(client.frames[0]).toBe(FIRST_GOAWAY);
  });

  test('a client that says GOAWAY has its streams served, then the connection ends', () => {
    const { mesh, client } = setup(options);
    client.send(HELLO, get(1), goaway(0));
    expect(client.ended).toBe(false);
    mesh.cluster('a').last.respond(204);
    expect(client.ended).toBe(true);
  });
});

test('max_connection_duration drains a connection and cuts no stream', () => {
  const { mesh, client, stat } = setup({
    config: { connectionDurationMaxMs: 30_000, drainTimeoutMs: 5_000 },
  });
  client.send(HELLO, get(1));
  mesh.clock.advance(30_000);
  expect(client.frames[0]).toBe(FIRST_GOAWAY);
  expect(stat('downstream_cx_max_duration_reached')).toBe(1);
  client.send(get(3), client.pong);
  for (const attempt of mesh.cluster('a').tries) attempt.respond(204);
  expect(client.ended).toBe(true);
  expect(mesh.records.map(({ status }) => status)).toEqual([204, 204]);
});

test('max_connection_duration in the middle of a drain does not shorten it', () => {
  const { mesh, client } = setup({
    config: { connectionDurationMaxMs: 30_000, drainTimeoutMs: 5_000 },
  });
  client.send(HELLO, get(1));
  mesh.clock.advance(28_000);
  client.client.connection.drain();
  mesh.clock.advance(2_000);
  client.send(get(3));
  expect(mesh.cluster('a').tries.length).toBe(2);
});

test('connection_keepalive: a client that does not answer a PING is cut', () => {
  const { mesh, client, stat } = setup({
    config: {
      http2: {
        ...exchange().manager.config.http2,
        keepaliveIntervalMs: 10_000,
        keepaliveTimeoutMs: 3_000,
      },
    },
  });
  client.send(HELLO);
  mesh.clock.advance(10_000);
  expect(client.frames).toEqual(['Ping']);
  mesh.clock.advance(3_500);
  expect(client.client.transport.destroyed).toBe(true);
  expect(stat('http2.keepalive_timeout')).toBe(1);
});

describe('[PR-06] [A2.1] what the other sidecar says that its app spoke', () => {
  const said = (value: string, name = 'x-weft-orig-proto') => {
    return Buffer.concat([HELLO, get(1, name, value)]);
  };
  test.each<[boolean, string, string]>([
    [true, 'HTTP/1.1', 'HTTP/1.1'],
    [true, 'HTTP/1.0', 'HTTP/1.1'],
    [true, 'HTTP/2', 'HTTP/2'],
    [true, 'HTTP/3', 'HTTP/2'],
    [true, '', 'HTTP/2'],
    [true, 'http/1.1', 'HTTP/2'],
    // Whoever is not a sidecar of the mesh chooses by what it speaks, not by what it says.
    [false, 'HTTP/1.1', 'HTTP/2'],
  ])('mutual TLS %j, %j: the app is asked in %s', (mutualTls, value, expected) => {
    const { mesh, client } = setup({ config: { direction: 'INBOUND' } }, { mutualTls });
    client.send(said(value));
    const { last } = mesh.cluster('a');
    expect(last.originalVersion).toBe(expected);
    expect(last.header('x-weft-orig-proto')).toBeUndefined();
  });

  test('no spelling of it reaches an app', () => {
    const { mesh, client } = setup({ config: { direction: 'INBOUND' } }, { mutualTls: true });
    client.send(said('HTTP/1.1', 'x_weft_orig_proto'));
    const { last } = mesh.cluster('a');
    expect(last.originalVersion).toBe('HTTP/2');
    expect(last.headers.join()).not.toMatch(/orig.proto/);
  });

  test.each(['OUTBOUND', 'UNSPECIFIED'] as const)('an app’s own is taken off: %s', (direction) => {
    const { mesh } = setup({ config: { direction } });
    mesh.connect().get('/', ['x-weft-orig-proto: HTTP/2']);
    const { last } = mesh.cluster('a');
    expect(last.header('x-weft-orig-proto')).toBeUndefined();
    expect(last.originalVersion).toBe('HTTP/1.1');
  });
});

test('a stream that waits for its window is not what another one waits for', () => {
  const { mesh, client } = setup();
  client.send(HELLO, get(1), get(3));
  const [first, second] = mesh.cluster('a').tries;
  first!.respond(200, [], 'x'.repeat(70_000));
  second!.respond(200, [], 'second');
  // The connection's window, 65 535 bytes, is used up by the first.
  client.send(windowUpdate(0, 100));
  expect(client.frames.join()).toContain('second');
  client.send(data(5, 0));
  expect(client.frames.join()).toContain('Goaway');
});
