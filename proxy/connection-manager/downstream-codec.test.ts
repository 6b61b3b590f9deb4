import { expect, test } from 'vitest';
import { detectPreface } from './downstream-codec.ts';

test.each([
  ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'http2'],
  ['PRI ', 'http2'],
  ['PRI', 'undecided'],
  ['P', 'undecided'],
  ['', 'undecided'],
  ['PRIX / HTTP/1.1\r\n', 'http1'],
  ['POST / HTTP/1.1\r\n', 'http1'],
  ['G', 'http1'],
  ['\r\nPRI * HTTP/2.0', 'http1'],
])('PR-02: %j begins %s', (text, expected) => {
  expect(detectPreface(Buffer.from(text))).toBe(expected);
});
