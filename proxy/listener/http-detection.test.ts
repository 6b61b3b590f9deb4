import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { detectHttp } from './http-detection.ts';

const detect = (text: string) => detectHttp(Buffer.from(text, 'latin1'));

describe('detectHttp', () => {
  test.each([
    ['GET / HTTP/1.1\r\n', 'http/1.1'],
    ['GET / HTTP/1.0\r\nHost: x\r\n', 'http/1.0'],
    ['POST /a HTTP/1.1\n', 'http/1.1'],
    ['CONNECT a:443 HTTP/1.1\r\n', 'http/1.1'],
    ['M-SEARCH * HTTP/1.1\r\n', 'http/1.1'],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'h2c'],
    ['PRI * HTTP/2.0\r\n', 'needMore'],
    ['PRI * HTTP/2.0\r\n\r\nXX', 'other'],
    ['', 'needMore'],
    ['G', 'needMore'],
    ['GET /long', 'needMore'],
    ['GET key\r\n', 'other'],
    ['GET / HTTP/9.9\r\n', 'other'],
    ['EHLO mail.example\r\n', 'other'],
    ['*1\r\n$4\r\nPING\r\n', 'other'],
    ['\x16\x03\x01', 'other'],
    ['get / HTTP/1.1\r\n', 'other'],
    [`GET /${'a'.repeat(9_000)}`, 'http/1.1'],
  ])('[PR-02] %j is %s', (text, expected) => {
    expect(detect(text)).toBe(expected);
  });

  test('fuzz: once decided, more bytes change nothing', () => {
    const start = fc.constantFrom('GET / HTTP/1.1\r\n', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '');
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 60 }), fc.nat(80), (head, tail, cut) => {
        const bytes = Buffer.concat([Buffer.from(head, 'latin1'), tail]);
        const early = detectHttp(bytes.subarray(0, cut));
        if (early !== 'needMore') expect(detectHttp(bytes)).toBe(early);
      }),
      { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) },
    );
  });
});
