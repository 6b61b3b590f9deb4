import { describe, expect, test } from 'vitest';
import { RequestHead, ResponseHead } from '../http/message.ts';
import { MESSAGE_SLABS } from '../http/slab.ts';
import { WriteBuffer } from '../http/write-buffer.ts';
import { BodyFraming } from './body.ts';
import { HeadEncoder } from './encoder.ts';
import { writeDecimal, writeHex } from './field-line.ts';
import { RecordingTransport } from './recorder.testing.ts';

function encoder() {
  const transport = new RecordingTransport();
  const out = new WriteBuffer(MESSAGE_SLABS, transport);
  return { transport, out, heads: new HeadEncoder(out) };
}

const request = (method: string, path: string, headers: string[] = [], upgrade = '') => {
  const head = new RequestHead(method, 'http', 'b:80', path, headers, 'HTTP/1.1');
  head.upgrade = upgrade;
  return head;
};
const GET = request('GET', '/');

describe('a head that cannot be sent', () => {
  const wrong = (...headers: string[]) => request('POST', '/p', headers);
  test.each([
    ['its length is no number', wrong('x', '1', 'content-length', 'x'), false],
    ['its lengths differ', wrong('content-length', '1', 'content-length', '2'), false],
    ['content is announced and there is none', wrong('content-length', '1'), true],
    ['a request for a tunnel has content', request('GET', '/', ['content-length', '1'], 'a'), true],
    ['its target is empty', request('GET', ''), true],
    ['its target would end the line', request('GET', '/\r\nx: y'), true],
    ['its target is not latin1', request('GET', '/\u0120'), true],
  ] as const)('leaves nothing where %s', (_why, head, endStream) => {
    const { transport, out, heads } = encoder();
    expect(heads.request(GET, true)).toBe(true);
    expect(heads.request(head, endStream)).toBe(false);
    expect(out.pendingBytes).toBe('GET / HTTP/1.1\r\nhost: b:80\r\n\r\n'.length);
    expect(heads.request(request('PUT', '/q'), true)).toBe(true);
    expect(transport.sent).toBe(
      'GET / HTTP/1.1\r\nhost: b:80\r\n\r\nPUT /q HTTP/1.1\r\nhost: b:80\r\ncontent-length: 0\r\n\r\n',
    );
  });

  test.each([['x'], ['1', '2']])(
    'leaves nothing of a response with the lengths %s %s',
    (...lengths) => {
      const { transport, heads } = encoder();
      const headers = ['a', 'b', ...lengths.flatMap((length) => ['content-length', length])];
      expect(heads.response(new ResponseHead(200, headers), false, GET, false, false)).toBe(false);
      heads.informational(new ResponseHead(103, headers));
      expect(transport.sent).toBe('');
    },
  );
});

test('names and values of every length, and every latin1 byte, are written as they are', () => {
  const { transport, heads } = encoder();
  const headers: string[] = [];
  let expected = '';
  const all = Array.from({ length: 0x100 }, (_, code) => String.fromCharCode(code)).join('');
  for (let length = 1; length <= 60; length++) {
    // Cut out of another string, and put together from two.
    const [name, value] = [
      all.slice(0x61, 0x61 + length),
      all.slice(40, 40 + length) + all.slice(-length),
    ];
    headers.push(name, value);
    expected += `${name}: ${value}\r\n`;
  }
  const head = new ResponseHead(200, headers);
  expect(heads.response(head, false, GET, false, false)).toBe(true);
  expect(transport.sent).toBe(`HTTP/1.1 200 OK\r\n${expected}transfer-encoding: chunked\r\n\r\n`);
});

test('a head that is longer than a slab is one piece', () => {
  const { transport, heads } = encoder();
  const values = Array.from({ length: 100 }, (_, at) => `${at}`.padStart(1_000, '-'));
  const head = new ResponseHead(
    200,
    values.flatMap((value) => ['x', value]),
  );
  heads.response(new ResponseHead(103, []), false, request('HEAD', '/'), false, false);
  heads.response(head, true, GET, true, false);
  expect(transport.sent).toBe(
    `HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n${values.map((value) => `x: ${value}\r\n`).join('')}` +
      'content-length: 0\r\nconnection: close\r\n\r\n',
  );
});

test('the longest lines of the codec itself have room in an empty head', () => {
  const { transport, out, heads } = encoder();
  const length = `${Number.MAX_SAFE_INTEGER}`;
  const old = new RequestHead('GET', 'http', 'a', '/', [], 'HTTP/1.0');
  const response = new ResponseHead(431, ['content-length', length]);
  expect(heads.response(response, false, old, false, true)).toBe(true);
  expect([heads.framing, heads.lengthBytes]).toEqual([BodyFraming.Length, Number(length)]);
  expect(transport.sent).toBe(
    `HTTP/1.0 431 Request Header Fields Too Large\r\ncontent-length: ${length}\r\nconnection: keep-alive\r\n\r\n`,
  );
  const tunnel = request('GET', '/', ['te', 'trailers'], 'w'.repeat(300));
  expect(heads.request(tunnel, true)).toBe(true);
  expect(out.pendingBytes).toBeGreaterThan(300);
  expect(transport.sent).toMatch(/\r\nconnection: upgrade, te\r\nupgrade: w{300}\r\n\r\n$/);
});

test('a status without a reason phrase keeps the blank behind its number (RFC 9112 §4)', () => {
  const { transport, heads } = encoder();
  for (const status of [299, 299, 799]) {
    heads.response(new ResponseHead(status, []), true, GET, false, false);
  }
  expect(transport.sent.match(/^HTTP.*$/gm)).toEqual([
    'HTTP/1.1 299 ',
    'HTTP/1.1 299 ',
    'HTTP/1.1 799 ',
  ]);
});

test.each([0, 1, 9, 10, 15, 16, 99, 100, 255, 256, 4_095, 4_096, 65_535, 2 ** 31 - 1])(
  '%i is written as digits',
  (value) => {
    const out = Buffer.alloc(32, '.');
    expect(out.toString('latin1', 0, writeDecimal(out, 0, value))).toBe(`${value}`);
    expect(out.toString('latin1', 3, writeHex(out, 3, value))).toBe(value.toString(16));
  },
);

test.each([2 ** 32, 2 ** 49 + 9, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER - 1])(
  '%i is written as decimal digits',
  (value) => {
    const out = Buffer.alloc(32, '.');
    expect(out.toString('latin1', 0, writeDecimal(out, 0, value))).toBe(`${value}`);
  },
);
