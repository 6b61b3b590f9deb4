import { expect, test } from 'vitest';
import { isHttp2Alpn } from './http2-alpn.ts';

test('PR-11: the ALPN names of HTTP/2 are told from all others', () => {
  expect(['h2', 'istio-h2', 'weft-h2'].every(isHttp2Alpn)).toBe(true);
  expect(['http/1.1', 'istio-http/1.1', 'istio', 'h2c', ''].some(isHttp2Alpn)).toBe(false);
});
